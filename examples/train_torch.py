"""Train a small network on handwritten digits with PyTorch: ``python examples/train_torch.py``.

Needed: ``pip install ".[torch]" scikit-learn`` in the folder above.
"""

import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from rmsprop import recipes
from rmsprop.torch import RMSprop

EPOCHS, BATCH, NOISE = 15, 64, 0.2

torch.manual_seed(0)
images, labels = load_digits(return_X_y=True)
images = torch.tensor(images, dtype=torch.float32).reshape(-1, 1, 8, 8) / 16
images, test_images, labels, test_labels = train_test_split(
    images, torch.tensor(labels), test_size=0.2, stratify=labels, random_state=0
)
batches = DataLoader(TensorDataset(images, labels), BATCH, shuffle=True)

model = nn.Sequential(
    nn.Conv2d(1, 32, kernel_size=3, padding=1),
    nn.ReLU(),
    nn.Conv2d(32, 64, kernel_size=3, stride=2, padding=1),
    nn.ReLU(),
    nn.Flatten(),
    nn.Linear(64 * 4 * 4, 10),
)

# EfficientNet's RMSprop with a smaller learning rate, which falls by a fifth every 2 epochs. Biases do not decay.
# `ema_overwrite_frequency=None`: the averages of the weights are for evaluation, training does not use them.
options = {"weight_decay": 1e-4, "use_ema": True, "ema_momentum": 0.98, "ema_overwrite_frequency": None}
optimizer = RMSprop(model.named_parameters(), **{**recipes.EFFICIENTNET, "learning_rate": 0.01, **options})
optimizer.exclude_from_weight_decay(var_names=["bias"])
scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=2, gamma=0.8)

for epoch in range(EPOCHS):
    model.train()
    for batch, expected in batches:
        optimizer.zero_grad()
        # With noise on the images the network cannot learn them by heart.
        noisy = batch + NOISE * torch.randn_like(batch)
        loss = nn.functional.cross_entropy(model(noisy), expected)
        loss.backward()
        optimizer.step()
    scheduler.step()
    print(f"epoch {epoch + 1:2}   loss {loss.item():.4f}")

model.eval()
with optimizer.averaged_weights(), torch.no_grad():
    accuracy = (model(test_images).argmax(dim=1) == test_labels).float().mean().item()
print(f"test accuracy {accuracy:.2%}")
