"""An ext4 file system in a file, mounted through a loop device: a disk that can fail, fill up, or lose its power."""

import fcntl
import os
import pathlib
import signal
import struct
import subprocess

from harness import Skip, need, run, until

GOING_DOWN = 0x8004587D  # FS_IOC_SHUTDOWN of the kernel's fs.h
WITHOUT_FLUSH = 2
THROTTLES = pathlib.Path("/sys/fs/cgroup/blkio")
IOPS_MAX = "blkio.throttle.write_iops_device"


class Image:
    """Mounted at `folder`/disk; its data directory is in it."""

    def __init__(self, folder, megabytes):
        if os.geteuid() != 0:
            raise Skip("mounting an image needs root")
        self.file, self.place = folder / "disk.img", folder / "disk"
        self.place.mkdir()
        with open(self.file, "wb") as image:
            image.truncate(megabytes << 20)
        run([need("mkfs.ext4"), "-q", self.file])
        self.mount()
        self.data = self.place / "data"

    def mount(self):
        done = subprocess.run(["mount", "-o", "loop", self.file, self.place], capture_output=True, check=False)
        if done.returncode != 0:
            raise Skip(f"an image cannot be mounted here: {done.stderr.decode().strip()}")

    def unmount(self):
        if self.cgroup.exists():
            self.quick()
            until(lambda: not (self.cgroup / "cgroup.procs").read_text(), f"{self.cgroup} has no process any more")
            self.cgroup.rmdir()
        # An io_uring is taken apart a moment after its process has ended, and keeps files open until then.
        until(lambda: subprocess.run(["umount", self.place], capture_output=True, check=False).returncode == 0,
              f"{self.place} is unmounted")

    def fail(self):
        """From now on every read and write is an I/O error."""
        descriptor = os.open(self.place, os.O_RDONLY)
        try:
            fcntl.ioctl(descriptor, GOING_DOWN, struct.pack("I", WITHOUT_FLUSH))
        finally:
            os.close(descriptor)

    def slow(self, pid, milliseconds):
        """From now on each write of the process to this disk takes so long, and they go one after the other."""
        if not (THROTTLES / IOPS_MAX).exists():
            raise Skip("a disk cannot be slowed here: there is no blkio controller of cgroup v1")
        self.cgroup.mkdir(exist_ok=True)
        # A durable write is two to the throttle.
        self._throttle(2000 // milliseconds)
        (self.cgroup / "cgroup.procs").write_text(str(pid))

    def quick(self):
        self._throttle(0)

    def _throttle(self, writes_per_second):
        device = os.stat(self.place).st_dev
        (self.cgroup / IOPS_MAX).write_text(f"{os.major(device)}:{os.minor(device)} {writes_per_second}")

    @property
    def cgroup(self):
        return THROTTLES / f"millrace-{self.file.parent.parent.name}-{self.file.parent.name}"

    def remember(self):
        """Copies what the disk holds now: what was synced. What only the page cache of the mounted file system has is not in it."""
        run(["cp", "--sparse=always", self.file, self.copy])

    def return_to_memory(self):
        """What was remembered becomes the disk. Nobody may use it any more."""
        self.unmount()
        self.copy.replace(self.file)
        self.mount()

    @property
    def copy(self):
        return self.file.with_suffix(".copy")


def cut_power(nodes, images):
    """Of all at once: what the disks held at one moment becomes the disks."""
    for node in nodes:
        node.process.send_signal(signal.SIGSTOP)
    for node in nodes:
        # A signal is told at once and obeyed later, thread by thread. Nothing may be promised beside the copying.
        os.waitid(os.P_PID, node.process.pid, os.WSTOPPED)
    for image in images:
        image.remember()
    # Not node.kill(), which may wake it first.
    for node in nodes:
        node.process.kill()
    for node in nodes:
        node.process.wait()
        node.await_closed()
    for image in images:
        image.return_to_memory()
