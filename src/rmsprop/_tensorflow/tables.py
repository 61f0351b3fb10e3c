"""The tables of native steps in TensorFlow, by the names of their words: Python fills them, compiled code reads them.

A word is an int64: a number, an address, or a distance in bytes from the head of a copy.
"""

from typing import Final

from rmsprop._core.cpu.coalesce import REQUEST, REQUEST_BYTES
from rmsprop._core.cpu.copies import TEMPLATE

#: Functions of TensorFlow's C interface: `tensorflow/c/kernels.h`, `tf_tensor.h` and `tf_status.h`.
FUNCTIONS: Final = (
    "TF_NewStatus", "TF_DeleteStatus", "TF_SetStatus", "TF_OpKernelContext_Failure",
    "TF_OpKernelConstruction_GetAttrInt64", "TF_NumInputs", "TF_NumOutputs", "TF_GetInput", "TF_AllocateOutput",
    "TF_TensorType", "TF_NumDims", "TF_Dim", "TF_TensorData", "TF_TensorByteSize", "TF_DeleteTensor",
)  # fmt: skip

#: Parts of error texts: a format stands for another text, or for a number.
TEXTS: Final = {
    "text": "%s",
    "number": "%lld",
    "next_number": ", %lld",
    "traced_with": "a step was traced with %lld tensors, and is run with ",
    "traced_for": "a step was traced for %lld results, and is run for ",
    "no_tensor": "RuntimeError: TensorFlow does not give %s",
    "is_of_type": " is of the type %s and the shape [",
    "but_wanted": "], not %s, as it was when the step was traced",
    "holds": ": indices holds %lld, which is not from 0 to ",
    "has_rows": ": values has %lld rows, and indices ",
    "has_numbers": "%lld numbers",
    "no_rows": ": there is no memory for its rows",
    "unknown_step": (
        "RuntimeError: a graph holds an operation of an rmsprop optimizer that is not, or no longer, in this process: "
        "trace steps that are exported with native=False"
    ),
}

#: The process: functions, texts, the addresses of the names of TensorFlow's types, and how many; the name of the
#: operation's attribute; the number of the first record, how many there are, the address of their addresses, and the
#: record of unknown numbers.
PROCESS: Final = (
    *FUNCTIONS, "snprintf", "free", *TEXTS, "types", "type_count", "attribute", "first", "made", "records", "unknown",
)  # fmt: skip

#: A record of a step: the process, how many use the step, and the step.
RECORD: Final = ("process", "users", "step")

#: A step, behind its `Template`: its tables and their lengths; the function that does its work, 0 if that is only to
#: execute the run; whether that function executes the run; where in a copy the address of given scales is, 0 for none,
#: and which of them are the run's; where the address is that found scales go to; what a copy has behind its run; texts
#: that say what there is no memory for.
STEP: Final = (
    *TEMPLATE, "inputs", "input_count", "outputs", "output_count", "sparse", "sparse_count", "work", "executes",
    "given_at", "places", "found_at", "behind", "no_outputs", "no_tables",
)  # fmt: skip

#: An input or output: TensorFlow's number of its type, its axes and the address of their lengths, of which -1 allows
#: any; an output's bytes; where its address goes in a copy, and the length of its first axis, 0 for nowhere; whether
#: the number itself goes there and not its address; and texts.
OPERAND: Final = ("dtype", "axes", "shape", "nbytes", "to", "length_to", "is_number", "name", "wanted")

#: A sparse gradient: what is asked, as in REQUEST; where in a copy the address and the length of values are, and those
#: of the row numbers; where the addresses of rows and their numbers go, and how many there are; the function that is
#: asked; and a name.
SPARSE: Final = (
    *REQUEST,
    "values_at",
    "numbers_at",
    "gradient_to",
    "row_numbers_to",
    "row_count_to",
    "coalesce",
    "name",
)

#: What a copy has behind its run: a request, then an error text, then addresses and lengths that are not the run's.
TEXT_BYTES: Final = 1024
LOCALS: Final = REQUEST_BYTES + TEXT_BYTES

#: An eager step: its record, the addresses of inputs, the lengths of their first axes, the addresses of outputs, and
#: where an error text goes.
EAGER: Final = ("record", "inputs", "lengths", "outputs", "text")

#: TF_Code.
OK, INVALID_ARGUMENT, RESOURCE_EXHAUSTED, INTERNAL = 0, 3, 8, 13
