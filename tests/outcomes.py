"""Write the outcomes that ship (`python -m tests.outcomes`): bundled runs answer the sets of `apps.outcomes.SETS`."""

import json

from apps.cache import outcome_key
from apps.outcomes import FILE, SETS, name_of
from apps.state import Run
from workbench import catalog
from workbench.files import write_whole
from workbench.measure.trace import answers
from workbench.model.checkpoint import load_checkpoint
from workbench.problems.files import load_problems


def main() -> None:
    """Answer and write."""
    right: dict[str, str] = {}
    bundled = {name: path for name, path in catalog.runs().items() if path.is_relative_to(FILE.parent / "runs")}
    for name, path in bundled.items():
        checkpoint = load_checkpoint(path)
        run = Run(name, path, checkpoint, checkpoint.thoughts, checkpoint.says)
        for of in SETS:
            items = tuple(load_problems(catalog.problem_sets()[of]))
            said = answers(checkpoint, items, run.thoughts, batch_size=32, says=run.says)
            found = {one.problem.id: one.right for one in said}
            right[name_of(outcome_key(run, items))] = "".join("01"[found[id]] for id in sorted(found))
            print(f"{name}, {of}: {sum(found.values())} of {len(items)} right", flush=True)
    write_whole(FILE, json.dumps({"schema": 1, "right": right}, indent=1) + "\n")


if __name__ == "__main__":
    main()
