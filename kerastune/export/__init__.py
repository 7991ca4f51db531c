"""From trained models to TensorFlow Serving and other formats."""
