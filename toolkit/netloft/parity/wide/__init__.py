"""An ONNX file in float64, in the place of a module."""
