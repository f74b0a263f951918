"""How a convolution and a window reduction are computed fast: formulations, oneDNN, gradients, the choice per platform."""
