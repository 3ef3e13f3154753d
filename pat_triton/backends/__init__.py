"""What computes a loss: ``torch`` anywhere, ``triton`` on a GPU; ``choose`` says which of them takes a call."""
