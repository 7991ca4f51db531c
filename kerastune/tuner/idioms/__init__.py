"""What users of KerasTuner write, and what it means to kerastune."""
