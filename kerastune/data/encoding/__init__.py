"""What a model learns of dates and of texts, on arrays and as layers of the saved model."""
