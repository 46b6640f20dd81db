"""What the SDKs must get from the fake: each function is a case, and its name says what it shows."""
