"""See `tests/common/keras_saving.py`."""

import keras
import keras_saving
import pytest
from processes import path, run

#: Keras hands out files that have no attributes under the name that is known.
RENAMED = """
    import warnings
    import keras, numpy
    from rmsprop.keras import RMSprop

    class Store(dict):
        pass

    def built(**options):
        optimizer = RMSprop(**options)
        optimizer.build([keras.Variable(numpy.ones(3, "float32"), name="w")])
        return optimizer

    def warned(do, store):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            warnings.filterwarnings("ignore", "__array__ implementation doesn't accept a copy")
            do(store)
        return [str(one.message) for one in caught]

    store = Store()
    if {written_first}:
        (message,) = warned(built(momentum=0.5).save_own_variables, store)
    else:
        store |= {{str(number): numpy.zeros(shape) for number, shape in enumerate([(), (), (3,), (3,)])}}
        (message,) = warned(built(centered=True).load_own_variables, store)
    assert warned(built(momentum=0.5).save_own_variables, store) == []
    assert warned(built(centered=True).load_own_variables, store) == []
    print(message)
"""


class TestSaving(keras_saving.Saving):
    """As they are."""


@pytest.mark.parametrize("written_first", [True, False])
@pytest.mark.slow
def test_files_that_take_no_notes_are_told_of_once(written_first):
    """State of other kinds is loaded then: nothing in the file says what it is."""
    message = run(RENAMED.format(written_first=written_first), PYTHONPATH=path())
    assert f"Keras {keras.__version__} has no place in its files" in message
    assert "same momentum, centered, use_ema and gradient_accumulation_steps" in message
