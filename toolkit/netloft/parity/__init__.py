"""Does the file compute what the module computes: measured, with the verdict's reason."""
