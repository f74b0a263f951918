"""What accuracy hides: shifts, aliasing, robustness, calibration, receptive field, detail and cost, each by its protocol.

Each measure is a function of arrays, and of ``predict``, any traceable JAX function from images
``[batch, height, width, channels]`` to logits ``[batch, classes]``; `predictor` makes one from a model and its training
pixels' mean and deviation. `evaluate_run` takes all `MEASURES` of a finished run.
"""

from strideflax.measuring.aliasing import alias_energies, shift_energies, site_aliasing
from strideflax.measuring.calibration import balanced_accuracy, expected_calibration_error, negative_log_likelihood
from strideflax.measuring.corruptions import CORRUPTIONS, corrupt
from strideflax.measuring.cost import inference_cost, operator_cost, training_cost
from strideflax.measuring.detail import position_error_pixels, probe_position
from strideflax.measuring.evaluation import evaluate_run
from strideflax.measuring.fractional_shifts import fractional_shift_consistency, shift_by_fraction
from strideflax.measuring.measures import MEASURES, Measure
from strideflax.measuring.predictor import feature_function, predictor
from strideflax.measuring.receptive_field import effective_field, field_extent
from strideflax.measuring.resampling import fourier_shift
from strideflax.measuring.robustness import cifar10_c_errors, corruption_errors, error_rate
from strideflax.measuring.shifts import consistency_of_classes, shift_consistency, shifted_classes, worst_case_accuracy
from strideflax.measuring.subject import Subject

__all__ = [
    "CORRUPTIONS",
    "MEASURES",
    "Measure",
    "Subject",
    "alias_energies",
    "balanced_accuracy",
    "cifar10_c_errors",
    "consistency_of_classes",
    "corrupt",
    "corruption_errors",
    "effective_field",
    "error_rate",
    "evaluate_run",
    "expected_calibration_error",
    "feature_function",
    "field_extent",
    "fourier_shift",
    "fractional_shift_consistency",
    "inference_cost",
    "negative_log_likelihood",
    "operator_cost",
    "position_error_pixels",
    "predictor",
    "probe_position",
    "shift_by_fraction",
    "shift_consistency",
    "shift_energies",
    "shifted_classes",
    "site_aliasing",
    "training_cost",
    "worst_case_accuracy",
]
