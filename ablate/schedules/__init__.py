"""Schedules that recipes name, one family a file; `schedule.py` says what a schedule is."""

from ablate.schedules.schedule import Per, Schedule, Scheduled, Time, parse_schedule

__all__ = ["Per", "Schedule", "Scheduled", "Time", "parse_schedule"]
