"""Coconut Workbench: see and test what a model that reasons in continuous thoughts is thinking.

Everything public is listed in `PUBLIC` and imported when it is first used, so that `import workbench` loads no torch:

    import workbench as wb

    model = wb.load("reference")
    problems = wb.load_problems("released")
    trace = model.trace(problems[0])
    trace.graph(thought=2).show()
    print(model.answer(problems[:100], wb.Noise(at=(1,))).accuracy)
"""

from importlib import import_module
from typing import TYPE_CHECKING

PUBLIC: dict[str, str] = {
    "load": "workbench.api",
    "load_problems": "workbench.api",
    "generate_problems": "workbench.api",
    "read": "workbench.api",
    "read_checkpoints": "workbench.api",
    "evaluate": "workbench.api",
    "list_runs": "workbench.api",
    "list_problem_sets": "workbench.api",
    "list_readings": "workbench.api",
    "said_chain": "workbench.measure.chains",
    "engine": "workbench.model.engines",
    "Model": "workbench.api",
    "Trace": "workbench.api",
    "Answers": "workbench.api",
    "Intervened": "workbench.api",
    "ReadingResult": "workbench.api",
    "Problem": "workbench.problems.problem",
    "Plan": "workbench.interventions.plan",
    "Noise": "workbench.interventions.thoughts",
    "Zero": "workbench.interventions.thoughts",
    "Mean": "workbench.interventions.thoughts",
    "Remove": "workbench.interventions.thoughts",
    "Patch": "workbench.interventions.thoughts",
    "Interpolate": "workbench.interventions.thoughts",
    "Project": "workbench.interventions.thoughts",
    "Move": "workbench.interventions.thoughts",
    "Add": "workbench.interventions.thoughts",
    "Superpose": "workbench.interventions.thoughts",
    "Swap": "workbench.interventions.thoughts",
    "Shuffle": "workbench.interventions.thoughts",
    "Permute": "workbench.interventions.thoughts",
    "Perturb": "workbench.interventions.thoughts",
    "Ablate": "workbench.interventions.layers",
    "Knockout": "workbench.interventions.layers",
    "PatchLayer": "workbench.interventions.layers",
    "import_model": "workbench.model.importing.convert",
    "WorkbenchError": "workbench.errors",
}
"""Every public name, and the module that defines it. Anything else may change without notice."""

if TYPE_CHECKING:
    from workbench.api import Answers as Answers
    from workbench.api import Intervened as Intervened
    from workbench.api import Model as Model
    from workbench.api import ReadingResult as ReadingResult
    from workbench.api import Trace as Trace
    from workbench.api import evaluate as evaluate
    from workbench.api import generate_problems as generate_problems
    from workbench.api import list_problem_sets as list_problem_sets
    from workbench.api import list_readings as list_readings
    from workbench.api import list_runs as list_runs
    from workbench.api import load as load
    from workbench.api import load_problems as load_problems
    from workbench.api import read as read
    from workbench.api import read_checkpoints as read_checkpoints
    from workbench.errors import WorkbenchError as WorkbenchError
    from workbench.interventions.layers import Ablate as Ablate
    from workbench.interventions.layers import Knockout as Knockout
    from workbench.interventions.layers import PatchLayer as PatchLayer
    from workbench.interventions.plan import Plan as Plan
    from workbench.interventions.thoughts import Add as Add
    from workbench.interventions.thoughts import Interpolate as Interpolate
    from workbench.interventions.thoughts import Mean as Mean
    from workbench.interventions.thoughts import Move as Move
    from workbench.interventions.thoughts import Noise as Noise
    from workbench.interventions.thoughts import Patch as Patch
    from workbench.interventions.thoughts import Permute as Permute
    from workbench.interventions.thoughts import Perturb as Perturb
    from workbench.interventions.thoughts import Project as Project
    from workbench.interventions.thoughts import Remove as Remove
    from workbench.interventions.thoughts import Shuffle as Shuffle
    from workbench.interventions.thoughts import Superpose as Superpose
    from workbench.interventions.thoughts import Swap as Swap
    from workbench.interventions.thoughts import Zero as Zero
    from workbench.measure.chains import said_chain as said_chain
    from workbench.model.engines import engine as engine
    from workbench.model.importing.convert import import_model as import_model
    from workbench.problems.problem import Problem as Problem


def __getattr__(name: str) -> object:
    """Import a public name when it is first asked for."""
    if name not in PUBLIC:
        raise AttributeError(f"module 'workbench' has no attribute {name!r}; dir(workbench) lists what is public")
    return getattr(import_module(PUBLIC[name]), name)


def __dir__() -> list[str]:
    """List the public names."""
    return sorted(PUBLIC)
