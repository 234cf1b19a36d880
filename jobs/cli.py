"""The command line: `facegpt JOB ...`. A job is a module here with EXAMPLES, add_arguments(parser) and run(args)."""

from __future__ import annotations

import argparse
import difflib
import importlib
import logging
import sys
from collections.abc import Sequence

import facegpt
from pipeline.errors import NothingRanError, UsageError, describe_with_path

JOBS = {
    "samples": "collect real photos that installed packages carry",
    "plan": "say what annotate will take: hours, workers, memory, money",
    "annotate": "turn photos into a table of 3D faces",
    "status": "how far an output is",
    "verify": "check that an output is whole, or make it so",
    "retry": "do again what failed",
    "forget": "remove images for good",
    "report": "write a page to look at",
    "ask": "answer a question about the faces in a photo",
    "imagine": "make 3D faces from a description",
    "train": "train FaceGPT",
    "evaluate": "measure a model",
    "learn-albedo": "learn a face model's albedo from photos",
    "import-face-model": "store a published face model in this project's format",
    "convert-face-model": "fit a mapping between two face models",
}
EXIT_CODES = "exit codes: 0 done, 1 finished with failures, 2 usage or configuration, 3 nothing could run"


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one job; returns its exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    logging.basicConfig(format="%(asctime)s %(message)s", datefmt="%H:%M:%S", level=logging.WARNING)
    logging.getLogger("facegpt").setLevel(logging.INFO)
    if not given or given[0].startswith("-"):
        return _overview(given)
    name, *rest = given
    if name not in JOBS:
        near = difflib.get_close_matches(name, JOBS, n=1, cutoff=0.0)[0]
        return _complain(f"there is no job {name!r}; did you mean {near!r}? `facegpt --help` lists them", 2)
    # Only the wanted job is imported: torch and Ray take seconds, and most jobs need neither.
    job = importlib.import_module(f"jobs.{name.replace('-', '_')}")
    parser = argparse.ArgumentParser(
        prog=f"facegpt {name}",
        description=job.__doc__,
        epilog=f"examples:\n{getattr(job, 'EXAMPLES', '')}\n{EXIT_CODES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    job.add_arguments(parser)
    args = parser.parse_args(rest)
    try:
        return int(job.run(args))
    except UsageError as error:
        return _complain(str(error), 2)
    except NothingRanError as error:
        return _complain(str(error), 3)
    except BrokenPipeError:
        # The reader of the output (head, less) has seen enough; nothing more can be said to it.
        sys.stderr.close()
        return 0
    except OSError as error:
        # A disk or a store may refuse, break or vanish under any command, between any two of its steps.
        logging.getLogger("facegpt").debug("the error in full", exc_info=True)
        return _complain(
            f"cannot go on: {describe_with_path(error)}; put that right, and give the same command again", 2
        )
    except KeyboardInterrupt:
        return _complain("interrupted; the same command goes on from here", 130)


def _complain(message: str, code: int) -> int:
    print(f"facegpt: {message}", file=sys.stderr)
    return code


def _overview(given: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="facegpt",
        description="Turns photos into a table of 3D faces.",
        epilog="\n".join(
            [
                "jobs:",
                *(f"  {name:18} {summary}" for name, summary in JOBS.items()),
                "",
                "`facegpt JOB --help` has each job's arguments and examples.",
                EXIT_CODES,
            ]
        ),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        usage="facegpt JOB ...",
    )
    parser.add_argument("--version", action="version", version=f"facegpt {facegpt.__version__}")
    parser.parse_args(given)
    parser.print_help()
    return 2
