"""TensorFlow's C++ loader of SavedModels, which TensorFlow Serving uses, called through its C
interface.
"""

import ctypes
import pathlib

import numpy as np
import tensorflow as tf

STRING_SIZE = 24  # bytes of a `TF_TString`


class Output(ctypes.Structure):
    _fields_ = [("operation", ctypes.c_void_p), ("index", ctypes.c_int)]


class Buffer(ctypes.Structure):
    _fields_ = [
        ("data", ctypes.c_void_p),
        ("length", ctypes.c_size_t),
        ("deallocator", ctypes.c_void_p),
    ]


def library():
    """The installed library, or `None` where it has another name."""
    (path, *_) = [*pathlib.Path(tf.__file__).parent.glob("libtensorflow_cc*"), None]
    return None if path is None else ctypes.CDLL(str(path))


class Loaded:
    """A SavedModel as the C++ loader gives it: a session, and the signatures of its graph."""

    def __init__(self, directory):
        self.c = library()
        for name in (
            "NewStatus",
            "NewSessionOptions",
            "NewGraph",
            "NewBuffer",
            "LoadSessionFromSavedModel",
            "GraphOperationByName",
            "AllocateTensor",
            "TensorData",
            "Message",
            "StringGetDataPointer",
            "Dim",
            "TensorByteSize",
            "StringGetSize",
        ):
            getattr(self.c, f"TF_{name}").restype = ctypes.c_void_p
        self.status = ctypes.c_void_p(self.c.TF_NewStatus())
        self.graph = ctypes.c_void_p(self.c.TF_NewGraph())
        buffer = ctypes.c_void_p(self.c.TF_NewBuffer())
        options = ctypes.c_void_p(self.c.TF_NewSessionOptions())
        tags = (ctypes.c_char_p * 1)(b"serve")
        self.session = ctypes.c_void_p(
            self.c.TF_LoadSessionFromSavedModel(
                options, None, str(directory).encode(), tags, 1, self.graph, buffer, self.status
            )
        )
        self._check()
        content = ctypes.cast(buffer, ctypes.POINTER(Buffer)).contents
        meta_graph = tf.compat.v1.MetaGraphDef.FromString(
            ctypes.string_at(content.data, content.length)
        )
        self.signatures = meta_graph.signature_def

    def run(self, signature, inputs):
        """Outputs of a signature by name, for inputs by name."""
        described = self.signatures[signature]
        assert set(inputs) == set(described.inputs)
        names = list(described.outputs)
        given = (Output * len(inputs))(
            *(self._output(described.inputs[name].name) for name in inputs)
        )
        wanted = (Output * len(names))(
            *(self._output(described.outputs[name].name) for name in names)
        )
        tensors = [
            self._tensor(np.asarray(x), described.inputs[name].dtype) for name, x in inputs.items()
        ]
        values, found = (ctypes.c_void_p * len(inputs))(*tensors), (ctypes.c_void_p * len(names))()
        self.c.TF_SessionRun(
            self.session,
            None,
            given,
            values,
            len(inputs),
            wanted,
            found,
            len(names),
            None,
            0,
            None,
            self.status,
        )
        self._check()
        return {
            name: self._array(tensor, described.outputs[name].dtype)
            for name, tensor in zip(names, found, strict=True)
        }

    def close(self):
        self.c.TF_CloseSession(self.session, self.status)
        self.c.TF_DeleteSession(self.session, self.status)

    def _check(self):
        if self.c.TF_GetCode(self.status):
            raise RuntimeError(ctypes.string_at(self.c.TF_Message(self.status)).decode())

    def _output(self, name):
        operation, _, index = name.partition(":")
        found = self.c.TF_GraphOperationByName(self.graph, operation.encode())
        assert found, f"the graph has no {operation}"
        return Output(found, int(index))

    def _tensor(self, x, dtype):
        sides = (ctypes.c_int64 * x.ndim)(*x.shape)
        is_text = dtype == tf.string.as_datatype_enum
        x = x if is_text else np.ascontiguousarray(x, tf.as_dtype(dtype).as_numpy_dtype)
        size = STRING_SIZE * x.size if is_text else x.nbytes
        tensor = self.c.TF_AllocateTensor(dtype, sides, x.ndim, ctypes.c_size_t(size))
        data = self.c.TF_TensorData(ctypes.c_void_p(tensor))
        if not is_text:
            ctypes.memmove(data, x.ctypes.data, size)
            return tensor
        for place, text in enumerate(x.ravel()):
            where = ctypes.c_void_p(data + place * STRING_SIZE)
            self.c.TF_StringInit(where)
            self.c.TF_StringCopy(where, text, ctypes.c_size_t(len(text)))
        return tensor

    def _array(self, tensor, dtype):
        tensor = ctypes.c_void_p(tensor)
        shape = [self.c.TF_Dim(tensor, number) or 0 for number in range(self.c.TF_NumDims(tensor))]
        data = self.c.TF_TensorData(tensor)
        if dtype != tf.string.as_datatype_enum:
            content = ctypes.string_at(data, self.c.TF_TensorByteSize(tensor))
            return np.frombuffer(content, tf.as_dtype(dtype).as_numpy_dtype).reshape(shape)
        texts = []
        for place in range(int(np.prod(shape))):
            where = ctypes.c_void_p(data + place * STRING_SIZE)
            size = self.c.TF_StringGetSize(where) or 0
            texts.append(ctypes.string_at(self.c.TF_StringGetDataPointer(where), size))
        return np.array(texts, object).reshape(shape)
