import random

import numpy as np
import torch

from qumade.training.random_state import random_state, restore_random_state


def test_all_random_numbers_continue_after_restoring():
    random.gauss(0, 1), np.random.standard_normal()  # both keep a second number for later
    state = random_state()
    drawn = [random.gauss(0, 1), random.random(), np.random.standard_normal(), np.random.rand(), torch.rand(3).tolist()]
    restore_random_state(state)
    again = [random.gauss(0, 1), random.random(), np.random.standard_normal(), np.random.rand(), torch.rand(3).tolist()]
    assert drawn == again
