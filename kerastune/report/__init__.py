"""What people look at: HTML, Markdown, figures, TensorBoard, status."""
