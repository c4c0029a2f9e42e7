"""A real Slurm on this machine: three nodes of two CPUs, no accounting. Needs Debian's slurm-wlm and munge, and root."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scontrol", "scancel")

CONFIGURATION = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
SlurmctldPort={port}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.%n.pid
SlurmctldLogFile={folder}/log/slurmctld.log
SlurmdLogFile={folder}/log/slurmd.%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SwitchType=switch/none
MpiDefault=none
ReturnToService=2
SlurmdTimeout=15
KillWait=5
JobRequeue=1
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SlurmdParameters=config_overrides
SchedulerParameters=sched_interval=1,bf_interval=1
NodeName=n[1-3] NodeHostname={host} NodeAddr=127.0.0.1 Port=[{first}-{last}] CPUs=2 RealMemory=4000 State=UNKNOWN
PartitionName=main Nodes=n[1-3] Default=YES State=UP PriorityTier=1 GraceTime=10
PartitionName=urgent Nodes=n[1-3] State=UP PriorityTier=10
"""


def missing() -> str:
    """The reason why there cannot be one here; empty if there can."""
    if os.geteuid() != 0:
        return "Slurm's daemons need root"
    lacking = [name for name in PROGRAMS if shutil.which(name) is None]
    return f"{lacking[0]} is not installed" if lacking else ""


class SlurmCluster:
    """Daemons below a folder. ``environment`` makes Slurm's commands use them."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder = folder
        for name in ("state", "log", "spool/n1", "spool/n2", "spool/n3"):
            (folder / name).mkdir(parents=True)
        key = folder / "munge.key"
        key.write_bytes(os.urandom(1024))
        key.chmod(0o600)
        values = {"host": socket.gethostname().partition(".")[0], "folder": folder, "port": port}
        text = CONFIGURATION.format(**values, first=port + 1, last=port + 3)
        (folder / "slurm.conf").write_text(text)
        self.environment = {**os.environ, "SLURM_CONF": str(folder / "slurm.conf")}
        self.run(
            *("munged", f"--socket={folder}/munge.socket", f"--key-file={key}", f"--pid-file={folder}/munged.pid"),
            *(f"--log-file={folder}/log/munged.log", f"--seed-file={folder}/munge.seed", "--force"),
        )
        self.run("slurmctld", "-i")
        for node in ("n1", "n2", "n3"):
            self.start_node(node)
        until = time.monotonic() + 30
        while self.run("sinfo", "-h", "-o", "%t", "-p", "main").strip() != "idle":
            assert time.monotonic() < until, (folder / "log/slurmctld.log").read_text()[-2000:]
            time.sleep(0.2)

    def run(self, *words: str) -> str:
        """The output of a command."""
        done = subprocess.run(words, env=self.environment, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, (words, done.stderr)
        return done.stdout

    def start_node(self, name: str) -> None:
        """Start the daemon of a node."""
        self.run("slurmd", "-N", name)

    def kill_node(self, name: str) -> None:
        """Kill the daemon of a node with all jobs on it, as a power failure does."""
        pid = int((self.folder / f"slurmd.{name}.pid").read_text())
        os.kill(pid, signal.SIGKILL)
        for job in self.jobs(f"--nodelist={name}"):
            for process in processes_of(job):
                with suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)

    def jobs(self, *words: str) -> list[str]:
        """The numbers of jobs that have not ended."""
        return self.run("squeue", "-h", "-o", "%A", *words).split()

    def node_of(self, job: str) -> str:
        """The node on which a job runs."""
        return self.run("squeue", "-h", "-o", "%N", "-j", job).strip()

    def close(self) -> None:
        """End all daemons, and jobs that are left."""
        with suppress(AssertionError, subprocess.TimeoutExpired):
            left = self.jobs()
            if left:
                self.run("scancel", *left)
                time.sleep(1)
        for name in ("slurmd.n1", "slurmd.n2", "slurmd.n3", "slurmctld", "munged"):
            with suppress(OSError, ValueError):
                os.kill(int((self.folder / f"{name}.pid").read_text()), signal.SIGTERM)


def processes_of(job: str) -> list[int]:
    """The processes of a job, and of the daemon that started them."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            with suppress(OSError):
                environment = (folder / "environ").read_bytes().split(b"\0")
                words = (folder / "cmdline").read_bytes()
                if f"SLURM_JOB_ID={job}".encode() in environment or f"slurmstepd: [{job}".encode() in words:
                    found.append(int(folder.name))
    return found
