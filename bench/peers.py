"""Finding the programs and libraries of the peers, and saying why one is not there and how to get it."""
import dataclasses
import os
import pathlib
import shutil
import subprocess

from workloads import MALLOCS

HERE = pathlib.Path(__file__).resolve().parent
HOW_TO_GET = {
    "tricolor": "build with cmake -DTRI_BUILD_BENCH=ON, as make bench does",
    "go": "to have it: Go 1.25 or newer (go.dev/dl) in PATH, or PEER_GO=/path/to/go",
    "bdwgc": "to have it: apt-get install libgc-dev, then configure and build again",
    "glibc": "build with cmake -DTRI_BUILD_BENCH=ON, as make bench does",
    "mimalloc": "to have it: apt-get install libmimalloc2.0, or PEER_MIMALLOC=/path/to/libmimalloc.so",
    "jemalloc": "to have it: apt-get install libjemalloc2, or PEER_JEMALLOC=/path/to/libjemalloc.so",
}


@dataclasses.dataclass
class Peer:
    name: str
    programs: dict  # workload program -> path
    preload: str = ""


def find_programs(build, names, peer):
    """bench-NAME-PEER for every name, wherever the build puts programs."""
    found = {}
    for name in names:
        for folder in (build / "bench", build / "bin", build):
            path = folder / f"bench-{name}-{peer}"
            if path.is_file():
                found[name] = str(path)
                break
    missing = [name for name in names if name not in found]
    if missing:
        raise LookupError(f"bench-NAME-{peer} is not in {build} for {', '.join(missing)}")
    return found


def find_library(variable, stem):
    """The allocator's shared library: named by the variable, else known to the linker."""
    named = os.environ.get(variable)
    if named:
        named = os.path.abspath(named)
        if pathlib.Path(named).is_file():
            return named
        raise LookupError(f"{variable} names {named}, which is not a file")
    ldconfig = shutil.which("ldconfig") or "/sbin/ldconfig"
    try:
        listing = subprocess.run([ldconfig, "-p"], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        raise LookupError(f"{variable} is not set and ldconfig does not run: {error}") from None
    for line in listing.splitlines():
        if line.strip().startswith(f"{stem}.so") and "=>" in line:
            return line.split("=>")[1].strip()
    raise LookupError(f"{variable} is not set and the linker knows no {stem}.so")


def build_go(build):
    go = os.environ.get("PEER_GO") or shutil.which("go")
    if not go:
        raise LookupError("PEER_GO is not set and there is no go in PATH")
    if os.sep in go:
        go = os.path.abspath(go)
    folder = (build / "bench-go").resolve()
    folder.mkdir(parents=True, exist_ok=True)
    environment = dict(os.environ, GOTOOLCHAIN="local", GOFLAGS="", GOWORK="off", GOPROXY="off")
    programs = {}
    for source in sorted((HERE / "go").glob("*/main.go")):
        name = source.parent.name
        command = [go, "build", "-buildvcs=false", "-o", str(folder / name), f"./{name}"]
        try:
            done = subprocess.run(command, cwd=HERE / "go", env=environment, capture_output=True, text=True)
        except OSError as error:
            raise LookupError(f"{go} does not run: {error}") from None
        if done.returncode != 0:
            raise LookupError(f"{' '.join(command)}: {done.stderr.strip()}")
        programs[name] = str(folder / name)
    return programs


def find_peers(build, chosen, wanted):
    """The peers with a program for every chosen workload they take part in; why others are not, and how to get them."""
    found, missing = {}, {}
    for name in wanted:
        programs = sorted({workload.program for workload in chosen if name in workload.peers})
        if not programs:
            continue
        try:
            if name == "go":
                found[name] = Peer(name, build_go(build))
            elif name in MALLOCS:
                library = "" if name == "glibc" else find_library(f"PEER_{name.upper()}", f"lib{name}")
                found[name] = Peer(name, find_programs(build, programs, "malloc"), library)
            else:
                found[name] = Peer(name, find_programs(build, programs, name))
        except LookupError as error:
            missing[name] = f"{error} ({HOW_TO_GET[name]})"
    return found, missing
