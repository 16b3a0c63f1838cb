"""Applies each mutant to a copy of the project and runs the test that must catch it.

scripts/run python tests/mutants/run.py              all; writes RESULT.md beside this file
scripts/run python tests/mutants/run.py "epsilon"    those with that in their description
"""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from mutants import NATIVE, PYTHON

ROOT = Path(__file__).resolve().parents[2]
TREE = ROOT / "build" / "mutants"
BUILD = TREE / "build"
KERNEL = "libpy_layernorm_kernel.so"


def run(*command, **more):
    return subprocess.run(
        list(map(str, command)), capture_output=True, text=True, check=False, **more
    )


def must(*command, **more):
    done = run(*command, **more)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}")
    return done


def copy_of_the_project():
    """What git knows of here, with the compiled libraries; the kernel built anew, quickly."""
    shutil.rmtree(TREE, ignore_errors=True)
    names = must("git", "-C", ROOT, "ls-files").stdout.splitlines()
    for name in names:
        if (ROOT / name).is_file():
            (TREE / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, TREE / name)
    import py_layernorm

    for folder in py_layernorm.__path__:
        for library in Path(folder, "native").glob("*.so"):
            shutil.copy(library, TREE / "py_layernorm" / "native")
    must(
        "cmake", "-S", TREE, "-B", BUILD, "-DCMAKE_BUILD_TYPE=None", "-DCMAKE_CXX_FLAGS=-O1",
        "-DCMAKE_EXPORT_COMPILE_COMMANDS=ON",
    )  # fmt: skip
    must("cmake", "--build", BUILD, "--target", "py_layernorm_kernel", "--parallel")


def compile_native(file):
    """The object that a changed file goes into; of headers, the baseline instruction set's alone.

    Returns what puts the object and the library back.
    """
    source = Path(file).name if file.endswith(".cc") else "isa.cc"
    (entry,) = (
        e
        for e in json.loads((BUILD / "compile_commands.json").read_text())
        if Path(e["file"]).name == source
        and ("ISA=" not in e["command"] or "=baseline" in e["command"])
    )
    target = BUILD / re.search(r" -o (\S+)", entry["command"])[1]
    kept = target.read_bytes()
    must("sh", "-c", entry["command"], cwd=entry["directory"])
    link()
    return lambda: target.write_bytes(kept)


def link():
    objects = [
        p for p in BUILD.rglob("*.o") if "CompilerId" not in str(p) and "empty" not in p.name
    ]
    must(os.environ.get("CXX", "c++"), "-shared", *objects, "-o", BUILD / KERNEL, "-pthread")


def caught_by(test, native):
    """The first test that fails, or None."""
    arguments = [*test.split(), "-x", "-q", "-p", "no:cacheprovider", "--no-header", "--tb=no"]
    if native:
        arguments += ["-k", "baseline"]
    environment = {**os.environ, "PY_LAYERNORM_NATIVE": str(BUILD)}
    pytest = TREE / "tests" / "with_package.py"
    done = run(sys.executable, pytest, TREE, *arguments, cwd=TREE, env=environment)
    found = re.search(r"^(?:FAILED|ERROR) (.+?)(?: - .*)?$", done.stdout, re.MULTILINE)
    if found:
        return found[1].replace("tests/", "")
    if done.returncode == 0:
        return None
    if done.returncode < 0:
        return f"{test}, which ended with signal {-done.returncode}"
    raise SystemExit(f"{test} did not run:\n{done.stdout}{done.stderr}")


def why_not_applicable(mutant):
    """Why this mutant no longer fits the code, or None."""
    _, file, old, _, test = mutant
    source = ROOT / "py_layernorm" / file
    if not source.is_file():
        return f"there is no {file}"
    if (count := source.read_text().count(old)) != 1:
        return f"{file} holds its text {count} times, not once: {old}"
    if not (ROOT / test.split("::")[0].split()[0]).is_file():
        return f"there is no {test.split('::')[0]}"
    return None


def try_one(mutant, native):
    _, file, old, new, test = mutant
    path = TREE / "py_layernorm" / file
    text = path.read_text()
    path.write_text(text.replace(old, new))
    put_back = compile_native(file) if native else None
    caught = caught_by(test, native)
    path.write_text(text)
    if put_back:
        put_back()
    return caught


def main():
    wanted = sys.argv[1] if len(sys.argv) > 1 else ""
    todo = [(m, True) for m in NATIVE if wanted in m[0]]
    todo += [(m, False) for m in PYTHON if wanted in m[0]]
    stale = {m[0]: why for m, _ in todo if (why := why_not_applicable(m))}
    for what, why in stale.items():
        print(f"DOES NOT APPLY {what}: {why}", flush=True)
    todo = [(m, native) for m, native in todo if m[0] not in stale]
    copy_of_the_project()
    rows, sound = [], set()
    for mutant, native in todo:
        # Without any mutant each of the tests passes: else it would catch anything.
        test = mutant[4]
        failed = None if test in sound else caught_by(test, native)
        if failed:
            raise SystemExit(f"without any mutant, this fails: {failed}")
        sound.add(test)
        caught = try_one(mutant, native)
        print(f"{'caught' if caught else 'NOT CAUGHT':<11}{mutant[0]}: {caught}", flush=True)
        rows.append((*mutant[:4], caught))
    missed = sum(row[4] is None for row in rows)
    if not wanted and not stale:
        write_result(rows, missed)
    print(f"{len(rows) - missed} of {len(rows)} mutants caught")
    if stale:
        print(f"{len(stale)} no longer apply: write them again, in tests/mutants/mutants.py")
    return int(missed > 0 or bool(stale))


def code(text):
    return "`" + text.replace("|", "\\|") + "`"


def write_result(rows, missed):
    lines = [
        "# Mutants",
        "",
        f"{len(rows) - missed} of {len(rows)} caught. `make mutants` writes this page; the list is "
        "[mutants.py](mutants.py).",
        "",
        "| fault | file | line | becomes | caught by |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| {what} | {file} | {code(old)} | {code(new)} | {code(by) if by else '**nothing**'} |"
        for what, file, old, new, by in rows
    ]
    (Path(__file__).parent / "RESULT.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    sys.exit(main())
