"""The mutants: small errors put into the source, each with the test files of `make test` that must notice it.

A mutant replaces a text that a file holds exactly once. The text is a statement about behaviour (arithmetic, a
comparison, an order, a sign), so that it survives a change of structure; where it does not, `run.py` says so and the
row is brought up to date.
"""

from typing import NamedTuple


class Mutant(NamedTuple):
    """An error in the source.

    Attributes:
        name: what is wrong with it.
        file: the file, below ``src/rmsprop``.
        old: text of the file, found exactly once.
        new: text in its place.
        tests: files or tests below ``tests``, of one framework's folder: the fewest that must notice.
    """

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]


def _mutant(name: str, file: str, old: str, new: str, *tests: str) -> Mutant:
    return Mutant(name, file, old, new, tests)


_RULE = [
    _mutant(
        "rule: the velocity without its complement", "_core/rule.py",
        "rho * velocity + rho_c * (gradient * gradient)", "rho * velocity + gradient * gradient",
        "core/test_numpy.py",
    ),
    _mutant(
        "rule: no epsilon where centered", "_core/rule.py",
        "select(variance < 0.0, 0.0, variance) + epsilon", "select(variance < 0.0, 0.0, variance)",
        "core/test_against_oracle.py",
    ),
    _mutant(
        "rule: a negative variance", "_core/rule.py",
        "select(variance < 0.0, 0.0, variance)", "select(variance < 0.0, variance, variance)",
        "core/test_against_oracle.py",
    ),
    _mutant(
        "rule: decay without the learning rate", "_core/rule.py",
        "variable - variable * weight_decay * learning_rate", "variable - variable * weight_decay",
        "core/test_numpy.py", "core/test_against_oracle.py",
    ),
    _mutant(
        "rule: the new increment times mu", "_core/rule.py",
        "increment = mu * momentum + increment", "increment = mu * (momentum + increment)",
        "core/test_against_oracle.py",
    ),
    _mutant(
        "rule: a clipped value of the wrong sign", "_core/rule.py",
        "select(gradient < -clip_value, -clip_value, gradient)", "select(gradient < -clip_value, clip_value, gradient)",
        "core/test_against_oracle.py",
    ),
    _mutant(
        "rule: the average before the step overwrites", "_core/rule.py",
        "select(overwrite, smooth, variable)", "select(overwrite, average, variable)",
        "core/test_against_oracle.py",
    ),
]  # fmt: skip

_OPTIONS = [
    _mutant(
        "options: a rho above 1", "_core/options.py",
        "partial(check_number, high=1.0)", "check_number",
        "core/test_options.py",
    ),
    _mutant(
        "options: a clip of 0", "_core/checks.py",
        "number >= 0 if zero else number > 0", "number >= 0",
        "core/test_options.py",
    ),
    _mutant(
        "options: two clips", "_core/options.py",
        "if len(clips) > 1:", "if len(clips) > 2:",
        "core/test_options.py",
    ),
    _mutant(
        "options: a momentum of 0 is kept", "_core/options.py",
        "return self.momentum > 0", "return self.momentum >= 0",
        "core/test_options.py", "core/test_checkpoint.py", "core/test_explain.py",
    ),
    _mutant(
        "options: a weight decay of 0 is on", "_core/options.py",
        "return bool(self.weight_decay)", "return self.weight_decay is not None",
        "core/test_numpy.py", "core/test_options.py",
    ),
    _mutant(
        "options: excluded variables decay", "_core/options.py",
        "if decays and self.decays:", "if self.decays:",
        "core/test_numpy.py",
    ),
    _mutant(
        "options: rho's complement in float32", "_core/options.py",
        '"rho_c": 1 - self.rho', '"rho_c": 1 - float(__import__("numpy").float32(self.rho))',
        "core/test_against_oracle.py", "core/test_golden.py",
    ),
    *(
        _mutant(
            f"options: averages overwrite a step late by operations of {library}", "_core/options.py",
            "return overwrites(iterations, frequency)", "return overwrites(iterations - 1, frequency)",
            test,
        )
        for library, test in (
            ("JAX", "jax/test_golden.py::test_bound"),
            ("TensorFlow", "tf_keras/test_numbers_traced.py::test_trajectory"),
            ("torch", "torch/test_devices.py"),
        )
    ),
    _mutant(
        "switches: numbers pass for truth values", "_core/switches.py",
        "not isinstance(native, bool)", "not isinstance(native, int)",
        "core/test_native.py",
    ),
    _mutant(
        "switches: the environment counts more than native=True", "_core/switches.py",
        "    if native is None:\n", "    if native is not False:\n",
        "core/test_native.py",
    ),
    _mutant(
        "switches: the environment is not looked at", "_core/switches.py",
        'return "" if native_by_default() else f"{SWITCH}=0"', 'return ""',
        "core/test_native.py",
    ),
    _mutant(
        "exclusion: one string is a list of letters", "_core/exclusion.py",
        "if isinstance(var_names, str):", "if isinstance(var_names, bytes):",
        "core/test_numpy.py",
    ),
    _mutant(
        "exclusion: expressions are literal", "_core/exclusion.py",
        "[re.compile(name) for name in names]", "[re.compile(re.escape(name)) for name in names]",
        "core/test_numpy.py",
    ),
    _mutant(
        "exclusion: expressions fit from the beginning only", "_core/exclusion.py",
        "any(expression.search(name) for name in mine)", "any(expression.match(name) for name in mine)",
        "core/test_numpy.py",
    ),
    _mutant(
        "exclusion: the last expression counts alone", "_core/exclusion.py",
        "[one or other for one, other in", "[other for one, other in",
        "core/test_numpy.py",
    ),
]  # fmt: skip

_TRACED = [
    _mutant(
        "traced: momentum and average gradient in each other's place", "_core/traced.py",
        "*map(state.get, STATE)", "*map(state.get, (*STATE[:2], STATE[3], STATE[2], *STATE[4:]))",
        "jax/test_numbers.py::test_trajectory",
    ),
    _mutant(
        "traced: learning rate and clip scale in each other's place", "_core/traced.py",
        "*map(scalars.get, SCALARS)", "*map(scalars.get, (SCALARS[1], SCALARS[0], *SCALARS[2:]))",
        "jax/test_numbers.py::test_trajectory",
    ),
    *(
        _mutant(f"traced: {name} on {library}", "_core/traced.py", old, new, test)
        for name, old, new, *tests in (
            (
                "all gradients by the first one's norm",
                "operations.own_scale(one, options.clipnorm)", "operations.own_scale(squares[0], options.clipnorm)",
                ("JAX", "jax/test_golden.py::test_bound"),
                ("TensorFlow", "tf_keras/test_numbers_traced.py::test_trajectory"),
            ),
            (
                "each gradient by its own norm for the joint limit",
                "[operations.joint_scale(squares, options.global_clipnorm)] * len(items)",
                "[operations.own_scale(one, options.global_clipnorm) for one in squares]",
                ("JAX", "jax/test_native_argument.py::test_a_transformation_by_our_kernels"),
                ("TensorFlow", "tf_keras/test_numbers_traced.py::test_trajectory"),
            ),
        )
        for library, test in tests
    ),
    _mutant(
        "traced: half types are computed in themselves", "_core/traced.py",
        "compute_type(*map(operations.dtype, state.values()))", "operations.dtype(item.variable)",
        "torch/test_devices.py",
    ),
    _mutant(
        "traced: state gets the variable's type", "_core/traced.py",
        "operations.cast(value, operations.dtype(state[name]))",
        "operations.cast(value, operations.dtype(item.variable))",
        "jax/test_types.py::test_everything_keeps_its_type",
    ),
    _mutant(
        "traced: excluded variables decay", "_core/traced.py",
        "options.constants(item.decays)", "options.constants(True)",
        "jax/test_weight_decay.py",
    ),
]  # fmt: skip

_PLAN = [
    _mutant(
        "plan: variables that share memory in one launch", "_core/plan.py",
        "found.setdefault((one.turn, kernel), [])", "found.setdefault((0, kernel), [])",
        "core/test_plan.py",
    ),
    _mutant(
        "plan: too few partial sums", "_core/plan.py",
        "partials += -(-one.size // CHUNK)", "partials += one.size // CHUNK",
        "core/test_plan.py",
    ),
    _mutant(
        "plan: pieces that are no norm chunks", "_core/plan.py",
        "begin += -(-one.size // unit) * unit", "begin += one.size",
        "core/test_plan.py",
    ),
    _mutant(
        "plan: one storage for all gradients", "_core/plan.py",
        'Kernel("step", one.storage, one.on, one.form, out, one.aligned)',
        'Kernel("step", tensors[0].storage, one.on, one.form, out, one.aligned)',
        "core/test_plan.py", "core/test_numpy.py",
    ),
    _mutant(
        "tables: double state computed in float32", "_core/tables.py",
        'any(one == "float64" for one in stored)', 'stored[0] == "float64"',
        "core/test_golden.py",
    ),
    _mutant(
        "run: threads for a norm's many small pieces", "_core/run.py",
        "if -(-numbers // int(job[_LENGTH])) >= least:", "if pieces >= least:",
        "core/test_plan.py",
    ),
    _mutant(
        "run: a learning rate that is not told again", "_core/run.py",
        "if (rate, factor) == self._numbers[group]:", "if self._numbers[group]:",
        "core/test_golden.py",
    ),
    _mutant(
        "run: an interrupt leaves numbers that pass for written", "_core/run.py",
        "        self._numbers[group] = None\n", "        self._numbers[group] = rate, factor\n",
        "core/test_interrupts.py::test_a_run_is_told_its_numbers_again",
    ),
    _mutant(
        "scales: averages overwrite a step late", "_core/scales.py",
        "done % every == every - 1", "done % every == 0",
        "core/test_against_oracle.py",
    ),
    _mutant(
        "plain: averages overwrite a step early", "_core/plain.py",
        "overwrites(done, every)", "overwrites(done + 1, every)",
        "core/test_golden.py",
    ),
    _mutant(
        "plain: lanes folded in pairs", "_core/plain.py",
        "lanes[: lanes.size // 2] + lanes[lanes.size // 2 :]", "lanes[::2] + lanes[1::2]",
        "core/test_kernels.py::test_norms_are_summed_in_the_stated_order",
    ),
    _mutant(
        "plain: float64 rounded twice to bfloat16", "_core/plain.py",
        "| ((nearest != value) & ~numpy.isnan(value))", "| ((nearest != value) & numpy.isnan(value))",
        "core/test_kernels.py::test_a_step_in_double_is_rounded_once",
    ),
    _mutant(
        "scales: an infinite joint norm hides itself", "_core/scales.py",
        "if math.isfinite(joint) else math.nan", "if math.isfinite(joint) else 0.0",
        "core/test_kernels.py::test_special_numbers_equal_the_rule_on_plain_arrays",
    ),
    _mutant(
        "scales: small gradients grow to the limit", "_core/scales.py",
        "return limit / (limit if own <= limit else own)", "return limit / own",
        "core/test_against_oracle.py",
    ),
]  # fmt: skip

_CPU = [
    _mutant(
        "cpu: a part of a tensor steps from its beginning", "_core/cpu/pieces.py",
        "start = greater(0, begin - origin)", "start = less(0, begin - origin)",
        "core/test_plan.py",
    ),
    _mutant(
        "cpu: lanes folded in another order", "_core/cpu/norms.py",
        "load(lanes, lane) + load(lanes, lane + width)", "load(lanes, lane + width) + load(lanes, width - 1 - lane)",
        "core/test_kernels.py::test_norms_are_summed_in_the_stated_order",
    ),
    _mutant(
        "cpu: a joint norm without the factor", "_core/cpu/norms.py",
        "total += read_float(squares, tensor) * (factor * factor)", "total += read_float(squares, tensor)",
        "torch/test_mixed_precision.py", "torch/test_golden.py",
    ),
    _mutant(
        "cpu: averages overwrite a step late", "_core/cpu/norms.py",
        "_overwrites(done, every)", "_overwrites(done - 1, every)",
        "core/test_against_oracle.py",
    ),
    _mutant(
        "cpu: the row before is the first of a piece", "_core/cpu/gather.py",
        "if read(numbers, middle) < start // length:", "if read(numbers, middle) <= start // length:",
        "core/test_gradients.py",
    ),
    _mutant(
        "cpu: strides of the last axis for all", "_core/cpu/gather.py",
        "place += rest % read(layout, axis) * read(strides, axis)",
        "place += rest % read(layout, axis) * read(strides, axes)",
        "core/test_gradients.py",
    ),
    _mutant(
        "cpu: bfloat16 rounded up at ties", "_core/cpu/half.py",
        "builder.add(bits, builder.add(odd, _I32(0x7FFF)))", "builder.add(bits, _I32(0x8000))",
        "core/test_golden.py",
    ),
    _mutant(
        "cpu: the code that another target found for an intrinsic stays", "_core/cpu/target.py",
        "codes[signature.args] = code", "codes.setdefault(signature.args, code)",
        "core/test_target.py",
    ),
    _mutant(
        "cpu: Numba is asked whether a class is one of its containers", "_core/cpu/target.py",
        "if isinstance(val, type) else", "if val is None else",
        "core/test_target.py",
    ),
    _mutant(
        "cpu: no norms before a step", "_core/cpu/execute.py",
        "if given <= NOTHING:", "if given < NOTHING:",
        "core/test_against_oracle.py",
    ),
    _mutant(
        "cpu: a leader that does not wait for its helpers", "_core/cpu/pools.py",
        "while read_shared(gate) != _CLOSED:", "while read_shared(gate) >= 0:",
        "core/test_pools.py::test_a_leader_waits_for_a_call_that_has_begun",
    ),
    _mutant(
        "cpu: a late OpenMP team is asked again at once", "_core/cpu/openmp.py",
        "write_shared(pool + 8 * WITHOUT, rest)", "write_shared(pool + 8 * WITHOUT, 0)",
        "torch/test_openmp.py::test_a_team_that_was_late_is_not_asked_for_a_while",
    ),
    _mutant(
        "cpu: a helper that was late wakes on its leader's core again", "_core/cpu/cores.py",
        "        apart = _others(system, thread, scratch)", "        pass",
        "core/test_cores.py",
    ),
    _mutant(
        "cpu: a helper that was woken apart never runs on that core again", "_core/cpu/cores.py",
        "        _set_cores(system, thread, scratch)\n", "        pass\n",
        "core/test_cores.py::test_linux_wakes_a_late_helper_apart",
    ),
    _mutant(
        "cpu: a helper is late that a signal woke", "_core/cpu/team.py",
        "if exchange_shared(box + 8 * ASLEEP, 0) == 0 and waits:",
        "if exchange_shared(box + 8 * ASLEEP, 0) >= 0 and waits:",
        "core/test_cores.py::test_one_that_nobody_woke_is_not_late",
    ),
    _mutant(
        "torch: a forked child asks a team that it has not", "_torch/openmp.py",
        "        one.leave()", "        pass",
        "torch/test_openmp.py::test_a_forked_child_steps",
    ),
    _mutant(
        "cpu: a ticket is freed although a call may still come", "_core/cpu/pools.py",
        "write_shared(ticket + 8 * _KNOWN, 1 + wanted)", "write_shared(ticket + 8 * _KNOWN, wanted)",
        "core/test_pools.py::test_the_last_that_knows_of_a_ticket_frees_it",
    ),
]  # fmt: skip

_CUDA = [
    _mutant(
        "cuda: an infinite joint norm hides itself", "_core/cuda/norms.py",
        "(tl.load(norm + 2) != 0) & (root - root != 0.0)", "(tl.load(norm + 2) != 0) & (root < 0.0)",
        "triton/test_norms.py", "triton/test_engine.py",
    ),
    _mutant(
        "cuda: averages overwrite a step late", "_core/cuda/norms.py",
        "done % tl.maximum(frequency, 1) == frequency - 1", "done % tl.maximum(frequency, 1) == 0",
        "triton/test_engine.py",
    ),
    _mutant(
        "cuda: a loss scale multiplies", "_core/cuda/norms.py",
        "(tl.cast(1.0, tl.float64) / scale).to(tl.float32)", "scale.to(tl.float32)",
        "triton/test_scaling.py",
    ),
    _mutant(
        "cuda: a step although gradients are not finite", "_core/cuda/step.py",
        "if tl.load(switches) != 0:", "if tl.load(switches) >= 0:",
        "triton/test_scaling.py",
    ),
    _mutant(
        "cuda: the average of gradients in the momentum's place", "_core/cuda/step.py",
        "tl.store(means + place, _narrow(new[3]", "tl.store(means + place, _narrow(new[2]",
        "triton/test_engine.py",
    ),
]  # fmt: skip

_STATE = [
    _mutant(
        "slots: no initial velocity", "_core/slots.py",
        'Slot("velocity", options.initial_velocity)', 'Slot("velocity", 0.0)',
        "core/test_against_oracle.py",
    ),
    _mutant(
        "slots: a file of another type or shape fits", "_core/slots.py",
        "if name in there and expected[name] != found[name]", "if name in there and not expected[name]",
        "core/test_checkpoint.py", "core/test_checkpoint_matching.py",
    ),
    _mutant(
        "saving: options that differ are not told", "_core/saving/matching.py",
        "(both[0][name] or None) != (both[1][name] or None)", "both[0][name] is None and both[1][name]",
        "core/test_checkpoint.py", "core/test_checkpoint_matching.py",
    ),
    _mutant(
        "saving: some names in common go by position", "_core/saving/matching.py",
        "if plain[0] != plain[1] and plain[0].keys() & plain[1].keys():", "if plain[0] == plain[1]:",
        "core/test_checkpoint_matching.py",
    ),
    _mutant(
        "saving: tensors that overlap", "_core/saving/safetensors.py",
        "if entry.start != start or entry.end < start:", "if entry.start > start or entry.end < start:",
        "core/test_checkpoint_damage.py", "core/test_checkpoint_files.py",
    ),
    _mutant(
        "saving: the mode of the older file is lost", "_core/saving/atomic.py",
        "if stat.S_IMODE(os.fstat(handle).st_mode) != mode:", "if stat.S_IMODE(os.fstat(handle).st_mode) == mode:",
        "core/test_checkpoint_files.py",
    ),
    _mutant(
        "saving: a longer count than the reader's", "_core/saving/checkpoint.py",
        "if most is not None and iterations > most:", "if most is None and iterations > 2**62:",
        "jax/test_files.py",
    ),
    _mutant(
        "rows: repeats that follow each other are not summed", "_core/rows.py",
        "if numpy.all(indices[1:] > indices[:-1]):", "if numpy.all(indices[1:] >= indices[:-1]):",
        "core/test_gradients.py", "core/test_properties.py",
    ),
    _mutant(
        "rows: a row behind the last", "_core/rows.py",
        "(indices < 0) | (indices >= self.shape[0])", "(indices < 0) | (indices > self.shape[0])",
        "core/test_gradients.py", "core/test_refusals.py",
    ),
    _mutant(
        "forms: a gradient in memory that the step writes to", "_core/forms.py",
        "        # A step would write to its memory before all of it is read.\n        gradient = gradient.copy()\n",
        "",
        "core/test_gradients.py", "core/test_places.py",
    ),
]  # fmt: skip

_SCHEDULES = [
    _mutant(
        "schedules: a stair one step late", "schedules/_periods.py",
        "guess = xp.where((guess + 1.0) * length <= x, guess + 1.0, guess)",
        "guess = xp.where((guess + 1.0) * length < x, guess, guess - 1.0 * (guess * length == x))",
        "core/test_schedules.py",
    ),
    _mutant(
        "schedules: the next value on the boundary", "schedules/decay.py",
        "xp.where(x > float(boundary)", "xp.where(x >= float(boundary)",
        "core/test_schedules.py",
    ),
    _mutant(
        "schedules: a cosine that goes on below its end", "schedules/cosine.py",
        "fraction = xp.where(x > length, length, x) / length", "fraction = x / length",
        "core/test_schedules.py",
    ),
]  # fmt: skip

#: The test of gradients that several calls collect, in the folder of each of Keras's backends.
_COLLECTS = "test_arguments.py::TestArguments::test_gradient_accumulation"

_FRONT_ENDS = [
    _mutant(
        "numpy: a step is not counted", "numpy.py",
        '_assign(self, "_iterations", done + 1)', '_assign(self, "_iterations", done)',
        "core/test_numpy.py",
    ),
    _mutant(
        "numpy: a file's learning rate is left there", "_numpy/saved.py",
        "self.learning_rate = rate\n", "pass\n",
        "core/test_checkpoint.py",
    ),
    _mutant(
        "torch: maximize goes down", "_torch/cpu.py",
        "-factor if group.maximize else factor", "factor",
        "torch/test_arguments.py::test_maximize_goes_where_the_negated_gradient_leads",
    ),
    _mutant(
        "torch: parameters that share memory at once", "_torch/cpu.py",
        "turns[place] = 1 + max(earlier, default=-1)", "turns[place] = 0",
        "torch/test_sharing.py",
    ),
    _mutant(
        "torch: backward does not notice a step", "_torch/cpu.py",
        "            _increment_version(self._written)\n", "            pass\n",
        "torch/test_steps.py", "torch/test_short_way.py", "torch/test_memory.py",
    ),
    _mutant(
        "torch: operations step by the scaled gradient's norm", "_torch/engine.py",
        "squares *= (unscale or 1.0) ** 2", "squares *= unscale or 1.0",
        "torch/test_devices.py", "torch/test_mixed_precision.py",
    ),
    _mutant(
        "torch: a loaded group keeps the options here", "_torch/loading.py",
        "group.setdefault(name, value)", "group[name] = value",
        "torch/test_state_dict.py",
    ),
    _mutant(
        "torch: epsilon outside the root is not squared", "_torch/conversion.py",
        "max(epsilon**2, _LEAST)", "max(epsilon, _LEAST)",
        "torch/test_conversion.py",
    ),
    _mutant(
        "jax: squares that overflow", "_jax/norms.py",
        "overflown = jnp.isinf(squares[0])", "overflown = jnp.isnan(squares[0])",
        "jax/test_types.py::test_norms_of_numbers_of_any_size",
    ),
    _mutant(
        "jax: the state of a parameter without gradient is dropped", "_jax/stepping.py",
        "slots[place] = new", "slots[0] = new",
        "jax/test_trees.py",
    ),
    _mutant(
        "jax: a learning rate for each element", "_jax/rate.py",
        "if jnp.shape(rate) != ():", "if len(jnp.shape(rate)) > 1:",
        "jax/test_learning_rate.py",
    ),
    _mutant(
        "optax: the update of the wrong sign", "_jax/transformation.py",
        "0, new - old)", "0, old - new)",
        "jax/test_numbers.py::test_trajectory",
    ),
    _mutant(
        "optax: masked parameters decay", "_jax/transformation.py",
        "options.decays and flag for flag in", "options.decays for flag in",
        "jax/test_weight_decay.py",
    ),
    _mutant(
        "tensorflow: half rows summed in their type", "_tensorflow/traced.py",
        "gradient.values.dtype.size == 2", "gradient.values.dtype.size == 1",
        "tf_keras/test_sparse.py::test_rows_of_half_types_are_summed_in_float32",
    ),
    _mutant(
        "tensorflow: native slots that are read from the wrong places", "_tensorflow/native.py",
        "[f\"new {name}\" for name in names])", "[f\"new {name}\" for name in names[::-1]])",
        "tf_keras/test_single_steps.py",
    ),
    _mutant(
        "tensorflow: lengths of inputs are not compared", "_tensorflow/entry.py",
        "if length >= 0 and invoke(process, _LENGTH, tensor, axis, 0) != length:", "if length < -1:",
        "tf_keras/test_other_sizes.py",
    ),
    _mutant(
        "tensorflow: a step lives on without users", "_tensorflow/entry.py",
        "add_shared(record + 8 * _USERS, -1) == 1", "add_shared(record + 8 * _USERS, 0) == 1",
        "tf_keras/test_memory.py",
    ),
    _mutant(
        "tensorflow: scales of other gradients in a part", "_tensorflow/work.py",
        "read(given, read(places, number))", "read(given, number)",
        "tf_keras/test_steps.py",
    ),
    _mutant(
        "rows: a row that is one too far", "_core/cpu/coalesce.py",
        "key < 0 or key >= read(request, _LIMIT)", "key < 0 or key > read(request, _LIMIT)",
        "tf_keras/test_sparse_refusals.py",
    ),
    _mutant(
        "rows: digits are not sorted from the lowest", "_core/cpu/coalesce.py",
        "shift += _BITS", "shift += 2 * _BITS",
        "core/test_coalesce.py",
    ),
    _mutant(
        "rows: rest summed in another order", "_core/cpu/coalesce.py",
        "half = count // 2 - count // 2 % _LANES", "half = count // 2",
        "core/test_coalesce.py",
    ),
    _mutant(
        "tf_keras: norms in the order of the pairs", "tf_keras.py",
        "sorted(range(len(pairs)), key=numbers.__getitem__)", "range(len(pairs))",
        "tf_keras/test_steps.py",
    ),
    _mutant(
        "tf_keras: weight decay in double", "tf_keras.py",
        "weight_decay=float(numpy.float32(decay))", "weight_decay=float(decay)",
        "tf_keras/test_weight_decay.py",
    ),
    _mutant(
        "tf_keras: constraints are not held", "tf_keras.py",
        "variable.assign(variable.constraint(variable))", "variable.constraint(variable)",
        "tf_keras/test_training.py::test_constraints_hold_after_each_step",
    ),
    *(
        _mutant(f"keras on {backend}: {name}", "_keras/steps.py", old, new, f"keras_{backend}/{_COLLECTS}")
        for name, old, new in (
            ("the sum of collected gradients", "return total if self.steps is None else total / self.steps",
             "return total"),
            ("calls are counted as steps", "return calls if self.steps is None else calls // self.steps",
             "return calls"),
            ("a step one call late", "(calls + 1) % self.steps == 0", "calls % self.steps == 0"),
        )
        for backend in ("torch", "tensorflow", "jax")
    ),
    _mutant(
        "keras on torch: collected gradients are not cleared", "_keras/torch.py",
        "torch._foreach_zero_(collected)", "pass",
        f"keras_torch/{_COLLECTS}",
    ),
    _mutant(
        "keras on tensorflow: the call of a step adds nothing", "_keras/tensorflow.py",
        "sums = [gradient + one for gradient, one in zip(given, collected, strict=True)]", "sums = collected",
        f"keras_tensorflow/{_COLLECTS}",
    ),
    _mutant(
        "keras on jax: collected gradients are not cleared", "_keras/jax_steps.py",
        "[jnp.zeros_like(one) for one in collected]", "[one + 0 for one in collected]",
        f"keras_jax/{_COLLECTS}",
    ),
    _mutant(
        "keras on torch: gradients are scaled once more", "_keras/torch.py",
        "unscale = None if scale is None else 1 / scale", "unscale = scale",
        "keras_torch/test_arguments.py::TestArguments::test_loss_scale_factor",
    ),
    _mutant(
        "keras: state that is not this variable's", "_kerases/built.py",
        "{name: made[number] for name, made in self.slots.items()}",
        "{name: made[0] for name, made in self.slots.items()}",
        "keras_jax/test_numbers.py",
    ),
    _mutant(
        "keras: negative velocities are read", "_keras/optimizer.py",
        "and (value < 0).any():", "and (value < -1e9).any():",
        "keras_torch/test_saving.py", "keras_torch/test_files.py",
    ),
]  # fmt: skip

MUTANTS = [
    *_RULE, *_OPTIONS, *_TRACED, *_PLAN, *_CPU, *_CUDA, *_STATE, *_SCHEDULES, *_FRONT_ENDS,
]  # fmt: skip
