"""torch's steps on the CPU without Numba: the rule in plain NumPy, and a word about it."""

import fallbacks


def test_every_way():
    fallbacks.check(
        """
        import torch

        def explain():
            from rmsprop.torch import RMSprop
            return RMSprop([torch.tensor(start)]).explain()

        def step(native):
            from rmsprop.torch import RMSprop
            w = torch.nn.Parameter(torch.tensor(start))
            optimizer = RMSprop([w], **options, jit_compile=native is None)
            for _ in range(steps):
                w.grad = w.detach().clone()
                optimizer.step()
            return w.detach().numpy()
        """,
        [
            ("take('numba')", "Numba cannot be loaded: ModuleNotFoundError: "),
            ("os.environ['NUMBA_DISABLE_JIT'] = '1'", "NUMBA_DISABLE_JIT=1 keeps Numba from compiling"),
        ],
    )
