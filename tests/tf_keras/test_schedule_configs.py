"""See `tests/common/schedule_configs.py`."""

import schedule_configs

from rmsprop.tf_keras import RMSprop


class TestConfigs(schedule_configs.Configs):
    """As they are."""

    kind = RMSprop
