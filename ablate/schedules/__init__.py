"""Schedules, one family per file; `schedule.py` defines what a schedule is."""

from ablate.schedules.schedule import Per, Schedule, Scheduled, Time, parse_schedule

__all__ = ["Per", "Schedule", "Scheduled", "Time", "parse_schedule"]
