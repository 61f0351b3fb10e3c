"""What `pytest -m quick` runs: a little of everything of each front end, with other versions of Python and of packages.

Modules that are not named here are not even imported then, so that frameworks' extras and pytest are enough to run it.
What needs another library, as an example for Flax does, is left out.
Rows are of the same few cases in every folder, which so share most kernels.
"""

import sys
from importlib.util import find_spec

#: Cases in which all options occur and norms of both kinds.
CASES = (
    "plain", "centered-decay-clipnorm-ema7", "momentum-decay-clipvalue-ema", "momentum-centered-global_clipnorm",
    "momentum-centered-decay-ema7",
)  # fmt: skip

#: Tests with a row for each bad argument or each set of options, whose rows do not differ in what another version
#: changes, and how the names of those rows begin that are run.
TABLES = {
    "test_a_bad_argument_is_named_quoted_and_explained", "test_refused", "test_refused_arguments",
    "test_refused_arguments_of_a_group", "test_a_refused_group_is_not_added",
    "test_refused_entries_of_a_group_that_has_been_stepped", "test_the_config_goes_through_json_and_back",
    "test_the_config_goes_through_json_and_back_and_to_numpy", "test_every_option_comes_back_as_it_was_written",
}  # fmt: skip
ROWS = ("rho]", "rho=1.5", "rho='0.9'", *(case + end for case in CASES for end in "]-"))

#: How names of tests begin, in each folder; `{case}` is each of the cases.
_KERAS = """
    test_arguments.py
    test_backend.py
    test_numbers.py::TestNumbers::test_against_numpy[{case}-float32]
    test_numbers.py::TestNumbers::test_operations_of_the_backend_against_numpy[{case}-float32]
    test_numbers.py::TestNumbers::test_against_keras[plain]
    test_numbers.py::TestNumbers::test_the_first_step_of_all
    test_saving.py::TestSaving::test_bits_of_a_resumed_training
    test_saving.py::TestSaving::test_weights_alone
    test_saving.py::TestSaving::test_both_ways_with_kerass_own
    test_saving.py::TestSaving::test_unlike_state
"""
_NAMES = {
    "core": """
        test_against_oracle.py::test_trajectory[{case}-float32]
        test_cache.py::test_the_second_process_loads_what_the_first_compiled
        test_checkpoint.py::test_a_run_goes_on_bit_exactly[float32]
        test_checkpoint.py::test_files_that_are_no_checkpoints_are_refused
        test_checkpoint.py::test_the_file_is_plain_safetensors
        test_checkpoint.py::test_what_does_not_fit_is_listed_and_changes_nothing
        test_docs.py::test_an_example_prints_what_stands_below_it[README.md
        test_explain.py
        test_import.py
        test_numpy.py::test_the_example_of_the_specification
        test_options.py
        test_rule_language.py
    """,
    "torch": """
        test_arguments.py
        test_compile.py::test_a_compiled_step_alone
        test_docstrings.py
        test_explain.py::test_switches
        test_numba_off.py
        test_numbers.py::test_the_bits_are_those_of_numpy[{case}-float32]
        test_numbers.py::test_the_example_of_the_specification
        test_state_dict.py
        test_steps.py
    """,
    "jax": """
        test_combinators.py
        test_docstrings.py::test_docstrings[optimizer]
        test_docstrings.py::test_docstrings[rows]
        test_docstrings.py::test_docstrings[transformation]
        test_methods.py
        test_native_elsewhere.py
        test_native_errors.py
        test_native_memory.py
        test_native_numpy.py::test_bits[{case}-float32]
        test_native_transformations.py::test_debugging_says_what_a_bad_gradient_made
        test_native_transformations.py::test_disabled_jit
        test_native_transformations.py::test_native
        test_numbers.py::test_trajectory[optimizer-{case}-float32]
        test_numbers.py::test_trajectory[transformation-plain-float32]
        test_oldest.py
        test_optax.py
        test_options.py::test_arguments_have_the_order_and_the_defaults_of_every_front_end
        test_options.py::test_copies
        test_options.py::test_refused_arguments
        test_options.py::test_the_config
        test_options.py::test_the_environment_switch
        test_trees.py::test_a_parameter_without_gradient_stays_as_it_is
        test_trees.py::test_the_
        test_weight_decay.py::test_exclusion_comes_first
        test_weight_decay.py::test_no_decay_is_none_at_all
    """,
    "jax_sharded": "test_jit.py",
    "tf_keras": """
        test_arguments.py
        test_config.py
        test_docstrings.py
        test_numbers.py::test_trajectory[{case}-float32]
        test_numbers_numpy.py::test_bits[{case}-float32]
        test_numbers_traced.py::test_trajectory[{case}]
        test_numbers_traced.py::test_trajectory_compiled_by_xla[plain]
        test_saving.py::test_a_run_goes_on_bit_exactly[everything
        test_saving.py::test_files_name_our_class
        test_switch.py::test_the_argument_counts_before_the_environment
        test_switch.py::test_the_environment_turns_it_off_for_a_process
    """,
    "tensorflow": """
        test_numpy_against_tf_keras.py::test_trajectory[{case}-float32]
        test_oracle.py::test_trajectory[{case}-float32]
        test_rule.py
    """,
    "keras_jax": _KERAS + "test_stateless.py",
    "keras_tensorflow": _KERAS,
    "keras_torch": _KERAS + "test_stateless.py",
}

#: Folder -> the beginnings of its tests' names.
CHOSEN = {
    folder: [line.format(case=case) for line in names.split() for case in (CASES if "{case}" in line else [""])]
    for folder, names in _NAMES.items()
}

#: Folder -> what must be installed for it.
NEEDS = {
    "core": (),
    "torch": ("torch",), "triton": ("torch", "triton"), "triton_ptx": ("torch", "triton"), "cuda": ("torch", "triton"),
    "clients": ("torch",),
    "jax": ("jax", "optax"), "jax_sharded": ("jax", "optax"),
    **dict.fromkeys(["tf_keras", "tensorflow", "tf_distribute", "tf_dtensor"], ("tensorflow", "tf_keras")),
    "keras_jax": ("keras", "jax"),
    **dict.fromkeys(["keras_tensorflow", "keras_strategies"], ("keras", "tensorflow", "tf_keras")),
    "keras_torch": ("keras", "torch"),
}  # fmt: skip


#: What pyproject.toml does not install on every system.
_NOT_EVERYWHERE = set() if sys.platform == "linux" else {"triton"}


def missing(packages):
    """List what is not installed of packages; folders of tests have the names of some."""
    found = {package: find_spec(package) for package in packages}
    return [package for package, spec in found.items() if spec is None or spec.origin is None]


def excused(packages, selection):
    """List what is not installed of packages and need not be there.

    The suite's environment has every package, so that one which is lost there fails the suite. `-m quick` is also run
    with one framework alone.
    """
    known = {package for packages in NEEDS.values() for package in packages} if selection == "quick" else set()
    return [package for package in missing(packages) if package in known | _NOT_EVERYWHERE]


def is_chosen(name):
    """Whether `folder/test_file.py`, or that and more after `::`, is of this selection."""
    folder, _, rest = name.partition("/")
    test, _, row = rest.rpartition("::")[2].partition("[")
    if test in TABLES and not row.startswith(ROWS):
        return False
    return any(rest.startswith(one) or one.startswith(f"{rest}::") for one in CHOSEN.get(folder, ()))
