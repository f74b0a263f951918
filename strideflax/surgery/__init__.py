"""Other downsampling in a network that somebody else wrote: where it downsamples, and an operator in those places."""

from strideflax.surgery.replace import replace_downsampling
from strideflax.surgery.report import Change, SurgeryReport
from strideflax.surgery.site import DownsamplingSites, Site
from strideflax.surgery.sites import downsampling_sites

__all__ = ["Change", "DownsamplingSites", "Site", "SurgeryReport", "downsampling_sites", "replace_downsampling"]
