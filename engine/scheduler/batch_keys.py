"""Options that stories must share to share a launch. No torch."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import replace

from ..options import StoryOptions
from ..outputs import Phase


def batch_keys(options: StoryOptions) -> Mapping[Phase, Hashable]:
    """By phase, the options that stories of one launch have in common; phases that are left out read none.

    Which frames are corrected decides phases alone.
    """
    drawn = options.sampling, options.show_o
    corrected = replace(options.correction, enabled=True, first=None, every=1), options.constraint
    of_arm = dict.fromkeys((Phase.PREFILL, Phase.SAMPLE, Phase.UPDATE_CONTEXT), drawn)
    return {**of_arm, Phase.SDEDIT: corrected}
