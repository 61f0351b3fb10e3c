"""Four logical CPUs in this process, on import: strategies and meshes need more than one device.

TensorFlow takes such a configuration once, before anything has run.
"""

import tensorflow as tf

NUMBER = 4

_CPU = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(_CPU, [tf.config.LogicalDeviceConfiguration()] * NUMBER)
