"""Downsampling operators, the convolution and their shape arithmetic."""
