"""The planner: which launches come out, what their tables hold, and that both ways to run them make the same bits."""

import ml_dtypes
import numpy
import planned
import pytest
from planned import FORMS, OPTIONS, OUTS, Planned, bits

from rmsprop._core.plan import Plan, Tensor
from rmsprop._core.run import Run
from rmsprop._core.tables import (
    CHUNK,
    COUNTERS,
    GATHERED,
    HEAD,
    JOB,
    JOB_WORDS,
    NOTHING,
    ROW,
    SCALES,
    SQUARES,
    STEP,
    Storage,
)

DOUBLE, SINGLE, HALF = (numpy.dtype(one) for one in ("float64", "float32", "float16"))
BFLOAT = numpy.dtype(ml_dtypes.bfloat16)
STORAGE = Storage(SINGLE, SINGLE, SINGLE, SINGLE)
ON = ("variable", "velocity", "learning_rate", "rho", "rho_c", "epsilon")
LAYOUT = ((10, 10), (40, 4), (4, 40))
PLAIN = Tensor(100, STORAGE, ON)


def launches(tensors):
    """List the tensors of each launch: of norms, and of steps."""
    plan = Plan(tensors)
    return [one.tensors for one in plan.norms], [one.tensors for one in plan.steps]


@pytest.mark.parametrize(
    "other",
    [
        PLAIN._replace(storage=Storage(HALF, SINGLE, SINGLE, SINGLE)),
        PLAIN._replace(storage=Storage(SINGLE, SINGLE, BFLOAT, SINGLE)),
        PLAIN._replace(on=(*ON, "weight_decay")),
        PLAIN._replace(form="rows", row_size=10),
        PLAIN._replace(form="gathered", layout=LAYOUT),
        PLAIN._replace(aligned=True),
        PLAIN._replace(turn=1),
    ],
    ids=["gradient", "slots", "on", "rows", "gathered", "aligned", "turn"],
)
def test_a_tensor_that_needs_another_kernel_or_turn_has_a_launch_of_its_own(other):
    assert launches([PLAIN, other, PLAIN, other]) == ([], [(0, 2), (1, 3)])


@pytest.mark.parametrize("other", [PLAIN._replace(size=7), PLAIN._replace(group=1)], ids=["size", "group"])
def test_tensors_that_differ_in_size_or_in_group_share_a_launch(other):
    plan = Plan([PLAIN, other], groups=2)
    assert [one.tensors for one in plan.steps] == [(0, 1)]


def test_gathered_tensors_of_several_layouts_share_a_launch():
    tensors = [PLAIN._replace(form="gathered", layout=one) for one in (LAYOUT, ((100,), (8,), (4,)))]
    assert launches(tensors) == ([], [(0, 1)])


def test_an_empty_tensor_has_no_launch_and_keeps_its_place():
    empty = PLAIN._replace(size=0, clips=True)
    assert launches([empty, PLAIN, empty]) == ([], [(1,)])
    assert launches([empty]) == ([], [])
    assert launches([]) == ([], [])


def test_launches_are_run_in_the_order_of_their_turns():
    turns = [PLAIN._replace(turn=turn) for turn in (2, 0, 1, 0, 2)]
    assert launches(turns) == ([], [(1, 3), (2,), (0, 4)])


def test_norms_are_of_those_that_clip_by_how_the_gradient_is_stored():
    """A variable's storage is nothing to a norm; rows, and what is gathered, are found by one kernel."""
    clips = PLAIN._replace(clips=True)
    tensors = [
        clips, PLAIN, clips._replace(storage=Storage(SINGLE, DOUBLE, DOUBLE, DOUBLE)),
        clips._replace(storage=Storage(HALF, SINGLE, SINGLE, SINGLE)), clips._replace(norm_form="rows", row_size=10),
        clips._replace(norm_form="gathered", norm_layout=LAYOUT),
    ]  # fmt: skip
    assert launches(tensors)[0] == [(0, 2), (3,), (4, 5)]
    assert [one.kernel.form for one in Plan(tensors).norms] == ["flat", "flat", "gathered"]


# Words ----------------------------------------------------------------------------------------------------------------


def case(number):
    """Tensors of all forms, made anew."""
    sizes = (number, CHUNK, 3 * CHUNK + 1)
    storage = Storage(*(numpy.dtype(one.name) for one in STORAGE))
    return [
        Tensor(size, storage, (*ON,), clips=True, form=form, layout=layout, row_size=row)
        for size in sizes
        for form, layout, row in (("flat", (), -1), ("gathered", ((size,), (8,), (4,)), -1), ("rows", (), 1))
    ]


def test_equal_tensors_have_equal_words():
    """So a plan holds no address, and nothing else of a process."""
    for out in OUTS:
        one, other = Plan(case(5), 2, out), Plan(case(5), 2, out)
        assert one.words is not other.words
        numpy.testing.assert_array_equal(one.words, other.words)
    assert Plan(case(6)).words.tobytes() != Plan(case(5)).words.tobytes()
    assert abs(Plan(case(5)).words).max() < 1 << 24  # where no system has memory for a process's data


def test_a_run_leaves_the_words_of_its_plan_alone():
    tensors = Planned([(40,)], {"clipnorm": 1.0})
    before = tensors.plan.words.copy()
    tensors.run.execute()
    numpy.testing.assert_array_equal(tensors.plan.words, before)
    assert not numpy.shares_memory(tensors.run.words, tensors.plan.words)


def jobs(plan, name):
    """Give what the words say of each job, with its rows."""
    found = []
    for number in range(int(plan.words[HEAD.index({"norms": "norm_jobs", "steps": "step_jobs"}[name])])):
        begin = plan.begin(name) + JOB_WORDS * number
        job = dict(zip(JOB, plan.words[begin + COUNTERS :].tolist(), strict=False))
        assert job["head"] == -8 * begin
        at = job["row_table"] // 8
        table = plan.words[at : at + len(ROW) * job["rows"]].reshape(-1, len(ROW)).tolist()
        found.append((job, [dict(zip(ROW, row, strict=True)) for row in table]))
    return found


def test_many_small_tensors_are_few_pieces():
    """A thousand tensors of 100 numbers are not a thousand pieces, each of which a thread would have to take."""
    ((job, rows),) = jobs(Plan([PLAIN] * 1000), "steps")
    assert job["pieces"] == -(-1000 * 2 * STEP // CHUNK) == 8
    assert [row["begin"] for row in rows] == [2 * STEP * place for place in range(1000)]
    assert {row["size"] for row in rows} == {100}
    assert [row["tensor"] for row in rows] == [*range(1000)]


def test_pieces_of_a_norm_are_chunks_of_one_gradient():
    """Their order is part of the bits, so that no piece may span two."""
    sizes = (5, CHUNK, CHUNK + 1, 0, 2 * CHUNK)
    ((job, rows),) = jobs(Plan([PLAIN._replace(size=size, clips=True) for size in sizes]), "norms")
    assert job["pieces"] == 6
    assert [row["begin"] for row in rows] == [0, CHUNK, 2 * CHUNK, 4 * CHUNK]
    assert [row["partial"] for row in rows] == [0, 1, 2, 4]


def test_pieces_that_are_gathered_are_longer():
    flat, gathered = (
        jobs(Plan([PLAIN._replace(size=4 * GATHERED, form=form, layout=LAYOUT)]), "steps")[0][0]
        for form in ("flat", "gathered")
    )
    assert (flat["pieces"], gathered["pieces"]) == (4 * GATHERED // CHUNK, 4)


@pytest.mark.parametrize(
    ("sizes", "threads"),
    [([10] * 100, 1), ([CHUNK] * 7, 1), ([CHUNK] * 8, 3), ([100] * 1000, 3)],
    ids=["small", "seven", "eight", "thousand"],
)
def test_threads_share_what_is_large_enough(sizes, threads):
    """By the numbers of a launch: a norm has a piece for each tensor, and a hundred tiny ones are no work for three."""
    tensors = [PLAIN._replace(size=size, clips=True) for size in sizes]
    run = Run(Plan(tensors), threads=3)
    run.compile()
    for name in ("norms", "steps"):
        at = run.plan.begin(name) + COUNTERS + JOB.index("threads")
        assert run.words[at] == threads, name


# Bits -----------------------------------------------------------------------------------------------------------------

#: One after the other in a piece, and larger than a piece.
SHAPES = [(3, 5), (1, 1), (GATHERED // 8 + 3, 9), (7, 2), (40, 30)]


#: Forms, and how variables may be in memory for them. Rows are made dense for a variable in Fortran order.
LYING = [(form, planned.aligned) for form in FORMS]
LYING += [("gathered", planned.spread), ("gathered", planned.turned), ("gathered rows", planned.spread)]


@pytest.mark.parametrize("out", OUTS)
@pytest.mark.parametrize(("form", "lay"), LYING)
@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.matrix(24)
def test_plain_and_compiled_runs_make_the_same_bits(options, form, out, lay):
    found = []
    for compiled, threads in ((True, 1), (True, 3), (False, 1)):
        tensors = Planned(SHAPES, OPTIONS[options], form=form, out=out, threads=threads, compiled=compiled, lay=lay)
        before = bits(tensors.sources)
        for iterations in range(2):  # the second overwrites with averages
            tensors.run.execute(iterations)
        squares, scales = tensors.run.squares.tolist(), tensors.run.scales.tolist()
        found.append((tensors.results(), squares, scales))
        assert (bits(tensors.sources) == before) == (out != "place")
    assert found[0] == found[1]
    assert found[0] == found[2]
    assert (found[0][1] != [0.0] * len(SHAPES)) == (options != "plain")


@pytest.mark.parametrize("compiled", [True, False])
def test_squares_that_are_given_are_taken(compiled):
    """Of replicas, each with other gradients: the step goes by what all have together, and sums nothing."""
    for name in ("clipnorm", "everything"):
        known, measured = (Planned(SHAPES, OPTIONS[name], compiled=compiled) for _ in range(2))
        known.run.squares[:] = [4.0, 0.0, 1e6, 0.25, 1e-9]
        known.run.execute(given=SQUARES)
        assert known.run.squares.tolist() == [4.0, 0.0, 1e6, 0.25, 1e-9]
        norms = numpy.sqrt(known.run.squares)
        limit = OPTIONS[name].get("clipnorm") or OPTIONS[name]["global_clipnorm"]
        if name == "everything":
            norms[:] = numpy.sqrt(known.run.squares.sum())
        numpy.testing.assert_allclose(known.run.scales, limit / numpy.maximum(norms, limit), rtol=1e-15)
        measured.run.execute()
        assert known.results() != measured.results()
        # Squares as they would be summed make the step that sums them.
        again = Planned(SHAPES, OPTIONS[name], compiled=compiled)
        again.run.squares[:] = again.run.measure().copy()
        again.run.execute(given=SQUARES)
        assert again.results() == measured.results()


@pytest.mark.parametrize("compiled", [True, False])
def test_scales_that_are_given_are_taken(compiled):
    given = [1.0, 0.5, 0.0, 2.0, 1e-3]
    run = Planned(SHAPES, OPTIONS["clipnorm"], compiled=compiled)
    run.run.scales[:], run.run.squares[:] = given, 7.0
    run.run.execute(given=SCALES)
    assert run.run.scales.tolist() == given
    assert run.run.squares.tolist() == [7.0] * 5  # nothing is summed
    # The same step by gradients that are multiplied before it, without a norm.
    other = Planned(SHAPES, {"momentum": 0.9}, compiled=compiled)
    for gradient, scale in zip(other.sources["gradient"], given, strict=True):
        gradient *= numpy.float32(scale)
    other.run.execute()
    assert run.results() == other.results()


@pytest.mark.parametrize("compiled", [True, False])
def test_to_measure_writes_squares_and_nothing_else(compiled):
    one = Planned(SHAPES, OPTIONS["everything"], compiled=compiled)
    before = bits(one.sources)
    expected = [float((g.astype(float) ** 2).sum()) for g in one.sources["gradient"]]
    numpy.testing.assert_allclose(one.run.measure(), expected, rtol=1e-12)
    assert bits(one.sources) == before
    assert one.run.groups["overwrite"][0] == 0
    one.run.execute(given=NOTHING)
    assert bits(one.sources) != before


@pytest.mark.parametrize("compiled", [True, False])
def test_the_factor_multiplies_gradients_and_norms(compiled):
    """A loss scale of 1/8, and the other sign: exact numbers of floating point, so that the bits are the same."""
    for name in ("clipnorm", "everything"):
        usual, scaled = (Planned(SHAPES, OPTIONS[name], compiled=compiled) for _ in range(2))
        for gradient in scaled.sources["gradient"]:
            gradient *= -8
        scaled.run.groups["factor"][:] = -0.125
        usual.run.execute()
        scaled.run.execute()
        assert scaled.results() == usual.results()


@pytest.mark.parametrize("compiled", [True, False])
def test_each_group_has_its_options(compiled):
    single = {}
    for rate in (0.125, 0.5):
        alone = Planned([(40, 30)], OPTIONS["clipnorm"], compiled=compiled)
        alone.run.set_rate_and_factor(0, rate)
        alone.run.execute()
        single[rate] = alone.results()
    both = Planned([(40, 30)], OPTIONS["clipnorm"], compiled=compiled)
    (tensor,) = both.plan.tensors
    plan = Plan([tensor, tensor._replace(group=1)], groups=2)
    run, other = Run(plan, compiled=compiled), Planned([(40, 30)], OPTIONS["clipnorm"], compiled=compiled)
    for name, column in run.groups.items():
        column[:] = both.run.groups[name][0]
    for place, one in enumerate((both, other)):
        for name, column in run.where.items():
            column[place] = one.run.where[name][0]
    run.set_rate_and_factor(0, 0.5)
    run.set_rate_and_factor(1, 0.125)
    run.compile()
    run.execute()
    assert both.results() == single[0.5]
    assert other.results() == single[0.125]


def test_a_rate_beyond_float32_warns_where_numbers_are_float32():
    single, double = Planned([(3,)], {}), Planned([(3,)], {}, dtype=DOUBLE)
    double.run.set_rate_and_factor(0, 1e39)
    with pytest.raises(RuntimeWarning, match="overflow"):
        single.run.set_rate_and_factor(0, 1e39)
    assert single.run.groups["learning_rate"][0] == 0.125
