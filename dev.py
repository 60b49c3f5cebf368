"""Sets the project up and runs its tasks: `python3 dev.py demo | test | check | docs`.

One file, standard library only, so that it runs on a machine that has nothing but Python.  The
first call makes `.venv` from the hash-pinned requirements-dev.txt; later calls find it there.
It installs Debian packages only where CI=true and root say that the machine is disposable.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).resolve().parent
LOCK = ROOT / "requirements-dev.txt"
VENV = ROOT / ".venv"
STAMP = VENV / "dev.stamp"
NEXT_TYPER_LOCK = ROOT / "requirements-typer-next.txt"
NEXT_TYPER = VENV / "typer-next"
PYTHON = str(VENV / "bin" / "python")

# Commands that some tests compare with or drive, and the Debian package of each.
DEBIAN_PACKAGES = {
    "ab": "apache2-utils",
    "curl": "curl",
    "fish": "fish",
    "groff": "groff-base",
    "h2load": "nghttp2-client",
    "ip": "iproute2",
    "jq": "jq",
    "less": "less",
    "man": "man-db",
    "mandoc": "mandoc",
    "nft": "nftables",
    "nginx": "nginx-light",
    "ss": "iproute2",
    "sysctl": "procps",
    "tmux": "tmux",
    "wrk": "wrk",
    "zsh": "zsh",
}
BASH_COMPLETION = Path("/usr/share/bash-completion/bash_completion")

PURE = ("analysis/*", "catalog/*", "decode/*", "model/*", "sansio/*", "errors.py", "units.py")

CHECKS = (
    ("ruff", "format", "--check", "--output-format=concise"),
    ("ruff", "check", "--output-format=concise"),
    ("mypy",),
    ("lint-imports",),
    ("python", "-m", "tools.generate", "--check"),
)


def say(text: str) -> None:
    print(f"dev.py: {text}", file=sys.stderr, flush=True)


def succeeds(*command: str) -> bool:
    """Run a command quietly: when it fails, the caller knows another way."""
    return subprocess.run(command, capture_output=True, check=False, cwd=ROOT).returncode == 0


def make_environment() -> list[str]:
    """Make an empty `.venv` and return the command that installs into it."""
    shutil.rmtree(VENV, ignore_errors=True)
    uv = shutil.which("uv")
    # pyenv leaves a `uv` on PATH that only says "not found": believe what runs.
    if uv and succeeds(uv, "venv", "--python", sys.executable, str(VENV)):
        return [uv, "pip", "install", "--quiet", "--python", PYTHON]
    if succeeds(sys.executable, "-m", "venv", str(VENV)):
        return [PYTHON, "-m", "pip", "install", "--quiet"]
    # Debian without python3-venv has no ensurepip; a pip outside can still install into it.
    shutil.rmtree(VENV, ignore_errors=True)
    if succeeds(sys.executable, "-m", "venv", "--without-pip", str(VENV)) and succeeds(
        sys.executable, "-m", "pip", "--python", PYTHON, "--version"
    ):
        return [sys.executable, "-m", "pip", "--python", PYTHON, "install", "--quiet"]
    shutil.rmtree(VENV, ignore_errors=True)
    sys.exit(
        "dev.py: cannot make a virtual environment: this Python has neither ensurepip nor pip.\n"
        "Install one of them (Debian: `sudo apt install python3-venv`), or uv, and try again."
    )


def ensure_environment() -> None:
    """Make `.venv` unless it is there and made from what the tree now holds."""
    if Path(sys.prefix) == VENV:  # it may have to be made anew: not from under our own feet
        become(str(Path(sys.base_prefix) / "bin" / "python3"), *sys.argv)
    digest = hashlib.sha256(bytes(ROOT))  # an environment does not survive being moved
    for file in (LOCK, ROOT / "pyproject.toml"):
        digest.update(file.read_bytes())
    # Their files are copied at install time, so a new one needs a new installation.
    for folder in ("man/man1", "man/man7", "completions"):
        digest.update(" ".join(sorted(path.name for path in (ROOT / folder).glob("*"))).encode())
    wanted = digest.hexdigest()
    if Path(PYTHON).exists() and STAMP.exists() and STAMP.read_text() == wanted:
        return
    say("making .venv (once; some 20 seconds)")
    install = make_environment()
    for what in (
        ["--require-hashes", "--requirement", str(LOCK)],
        # The build backend is in the lock file too: nothing unpinned is fetched.
        ["--no-deps", "--no-build-isolation", "--editable", "."],
    ):
        if subprocess.run([*install, *what], check=False, cwd=ROOT).returncode != 0:
            sys.exit(f"dev.py: failed: {shlex.join([*install, *what])}")
    STAMP.write_text(wanted)


def enter_environment() -> None:
    ensure_environment()
    os.chdir(ROOT)
    os.environ["VIRTUAL_ENV"] = str(VENV)
    os.environ["PATH"] = f"{VENV / 'bin'}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    os.environ.pop("PYTHONHOME", None)


def become(*command: str) -> NoReturn:
    """Replace this process, so that Ctrl-C and the exit status are the command's own."""
    sys.stdout.flush()
    os.execvp(command[0], command)


def run(*command: str) -> list[str]:
    """Run one step, and return what to report: its command line if it failed."""
    print(f"── {shlex.join(command)}", flush=True)
    return [] if subprocess.run(command, check=False).returncode == 0 else [shlex.join(command)]


def run_pytest() -> tuple[list[str], str]:
    """Run the whole suite under coverage, and return its failure, if any, and its summary line."""
    command = ["python", "-u", "-m", "coverage", "run", "-m", "pytest"]
    command.append("--continue-on-collection-errors")  # one broken file must not hide the others
    if sys.stdout.isatty():
        command.append("--color=yes")
    print(f"── {shlex.join(command)}", flush=True)
    summary = ""
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, errors="replace") as pytest:
        assert pytest.stdout is not None
        for line in pytest.stdout:
            print(line, end="", flush=True)
            if re.search(r"\b(passed|failed|errors?|no tests ran)\b.* in \d[\d.]*s", line):
                summary = line.rstrip("\n")
    return ([] if pytest.returncode == 0 else ["pytest"]), summary or "pytest printed no summary"


def install_debian_packages() -> None:
    path = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"  # ip and nft, for a plain user
    missing = {
        package
        for command, package in DEBIAN_PACKAGES.items()
        if shutil.which(command, path=path) is None
    }
    if not BASH_COMPLETION.exists():
        missing.add("bash-completion")
    if not missing:
        return
    names = " ".join(sorted(missing))
    if os.environ.get("CI") != "true" or os.geteuid() != 0 or shutil.which("apt-get") is None:
        say(f"some tests will be skipped; they need the Debian packages: {names}")
        return
    say(f"installing {names}")
    os.environ["DEBIAN_FRONTEND"] = "noninteractive"
    apt = ["apt-get", "-qq", "-o", "Dpkg::Use-Pty=0"]
    for command in (
        [*apt, "update"],
        [*apt, "install", "-y", "--no-install-recommends", *sorted(missing)],
    ):
        # To stderr: stdout is the report of the tests.
        if subprocess.run(command, check=False, stdout=sys.stderr).returncode != 0:
            say(f"{shlex.join(command)} failed; going on without")


def install_next_typer() -> list[str]:
    """Put the typer that we do not use yet beside the environment, for the test that runs on it."""
    stamp = NEXT_TYPER / NEXT_TYPER_LOCK.name
    if stamp.exists() and stamp.read_bytes() == NEXT_TYPER_LOCK.read_bytes():
        return []
    shutil.rmtree(NEXT_TYPER, ignore_errors=True)
    # An environment that uv made has no pip; one made without ensurepip has neither.
    pips = ([PYTHON, "-m", "pip"], ["uv", "pip"], [sys.executable, "-m", "pip"])
    pip = next((pip for pip in pips if succeeds(*pip, "list")), pips[0])
    options = ["--quiet", "--no-deps", "--require-hashes", f"--target={NEXT_TYPER}"]
    failures = run(*pip, "install", *options, "--requirement", str(NEXT_TYPER_LOCK))
    if not failures:
        shutil.copy(NEXT_TYPER_LOCK, stamp)
    return failures


def check() -> list[str]:
    return [failure for command in CHECKS for failure in run(*command)]


def test() -> int:
    """Every step runs even if an earlier one failed: one call shows all there is to mend."""
    install_debian_packages()
    failures = install_next_typer() + check()
    run("coverage", "erase")
    pytest_failures, summary = run_pytest()
    failures += pytest_failures
    failures += run("coverage", "combine", "--quiet")
    pure = ",".join(f"tcptool/{pattern}" for pattern in PURE)
    failures += run("coverage", "report", f"--include={pure}", "--fail-under=100")
    failures += run("coverage", "report", "--fail-under=90")
    print()
    for failure in failures:
        print(f"FAILED {failure}")
    # CI reads the closing lines for pytest's summary, but coverage is known only after pytest
    # has ended.  So its line is said again; a gate inside pytest would have to stop the
    # measurement that it is part of.
    print(summary, flush=True)
    return 1 if failures else 0


TASKS = """\
tasks:
  demo            the main job, shown on loopback connections of its own
  test            everything that CI runs
  test ARGS...    only pytest, with these arguments
  check           format, lint, types, import contract, generated files
  docs            write the generated files anew
"""


def main() -> int:
    parser = argparse.ArgumentParser(
        description="Makes .venv where needed, and runs a task in it.",
        epilog=TASKS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("task", choices=["demo", "test", "check", "docs"])
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.arguments and options.task != "test":
        parser.error(f"{options.task} takes no arguments")

    enter_environment()
    if options.task == "demo":
        become("python", "-m", "tools.demo")
    if options.task == "docs":
        become("python", "-m", "tools.generate")
    if options.task == "check":
        return 1 if check() else 0
    if options.arguments:
        become("python", "-m", "pytest", *options.arguments)
    return test()


if __name__ == "__main__":
    if sys.version_info < (3, 11):  # noqa: UP036 - the file may be started with any python3
        sys.exit("dev.py needs Python 3.11 or newer")
    sys.exit(main())
