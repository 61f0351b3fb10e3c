"""Lightning: automatic and manual optimization, schedulers, clipping, checkpoints."""

import lightning
import pytest
import torch
from lightning.pytorch.callbacks import BaseFinetuning
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from rmsprop.schedules import CosineDecay
from rmsprop.torch import RMSprop

pytestmark = [
    # Advice: there is one process, and the data are small.
    pytest.mark.filterwarnings("ignore:The 'train_dataloader' does not have many workers"),
    # Lightning asks torch in a way that torch has renamed.
    pytest.mark.filterwarnings(r"ignore:`isinstance\(treespec, LeafSpec\)` is deprecated:FutureWarning"),
]


class Task(lightning.LightningModule):
    """A small regression; losses of all steps are kept."""

    def __init__(self, by_hand=False, **options):
        super().__init__()
        self.automatic_optimization = not by_hand
        torch.manual_seed(0)
        self.network = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1))
        self.options, self.losses, self.rates = options, [], []

    def configure_optimizers(self):
        optimizer = RMSprop(self.named_parameters(), lr=0.01, **self.options)
        scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 20)
        return [optimizer], [{"scheduler": scheduler, "interval": "step"}]

    def training_step(self, batch, _):
        inputs, targets = batch
        loss = nn.functional.mse_loss(self.network(inputs), targets)
        self.losses.append(loss.item())
        if not self.automatic_optimization:
            optimizer, scheduler = self.optimizers(), self.lr_schedulers()
            optimizer.zero_grad()
            self.manual_backward(loss)
            optimizer.step()
            scheduler.step()
        self.rates.append(self.optimizers().param_groups[0]["lr"])
        return loss


def fit(task, folder, epochs=2, checkpoint=None, **arguments):
    """Train for epochs of 8 batches each, always the same ones."""
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randn(32, 4, generator=generator)
    data = DataLoader(TensorDataset(inputs, inputs.sum(1, keepdim=True)), batch_size=4)
    trainer = lightning.Trainer(
        max_epochs=epochs, default_root_dir=folder, logger=False, enable_progress_bar=False, accelerator="cpu",
        enable_model_summary=False, enable_checkpointing=False, **arguments,
    )  # fmt: skip
    trainer.fit(task, data, ckpt_path=checkpoint)
    return trainer


def weights(task):
    return torch.cat([parameter.detach().flatten() for parameter in task.parameters()])


def by_torch(clip=None, **options):
    """The same training in a loop of torch alone."""
    task = Task()
    optimizer = RMSprop(task.parameters(), lr=0.01, **options)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 20)
    inputs = torch.randn(32, 4, generator=torch.Generator().manual_seed(1))
    for start in [*range(0, 32, 4)] * 2:
        batch = inputs[start : start + 4]
        optimizer.zero_grad()
        nn.functional.mse_loss(task.network(batch), batch.sum(1, keepdim=True)).backward()
        if clip is not None:
            nn.utils.clip_grad_norm_(task.parameters(), clip)
        optimizer.step()
        scheduler.step()
    return weights(task)


@pytest.mark.parametrize("by_hand", [False, True])
def test_trains_as_a_loop_of_torch_does(tmp_path, by_hand):
    task = Task(by_hand, momentum=0.9, weight_decay=0.01)
    fit(task, tmp_path)
    assert torch.equal(weights(task), by_torch(momentum=0.9, weight_decay=0.01))
    assert task.optimizers().optimizer.iterations == 16
    assert task.losses[-1] < task.losses[0] / 2
    assert task.rates[0] > task.rates[-1] > 0


def test_clipping_by_the_trainer_and_by_the_optimizer(tmp_path):
    theirs, ours = Task(), Task(global_clipnorm=0.25)
    fit(theirs, tmp_path, gradient_clip_val=0.25)
    fit(ours, tmp_path)
    assert torch.equal(weights(theirs), by_torch(clip=0.25))
    # Measured: 3.0e-8, rounding of the norm; without a limit they are 0.029 apart.
    assert (weights(theirs) - weights(ours)).abs().max() < 3e-7
    assert (by_torch() - weights(ours)).abs().max() > 0.01


def test_accumulated_batches_are_one_step(tmp_path):
    task = Task()
    fit(task, tmp_path, accumulate_grad_batches=4)
    assert (task.optimizers().optimizer.iterations, len(task.losses)) == (4, 16)


def test_resumes_from_a_checkpoint(tmp_path):
    options = {"momentum": 0.9, "centered": True, "use_ema": True, "ema_overwrite_frequency": 5}
    whole, first, second = (Task(**options) for _ in range(3))
    fit(whole, tmp_path, epochs=2)
    fit(first, tmp_path, epochs=1).save_checkpoint(tmp_path / "one.ckpt")
    with torch.no_grad():
        for parameter in second.parameters():
            parameter.zero_()
    fit(second, tmp_path, epochs=2, checkpoint=tmp_path / "one.ckpt")
    assert len(second.losses) == 8
    assert second.optimizers().optimizer.iterations == 16
    assert second.losses == whole.losses[8:]
    assert torch.equal(weights(whole), weights(second))


def test_mixed_precision(tmp_path):
    task = Task(momentum=0.9)
    fit(task, tmp_path, precision="bf16-mixed")
    assert task.losses[-1] < task.losses[0] / 2
    assert {parameter.dtype for parameter in task.parameters()} == {torch.float32}


class Thaw(BaseFinetuning):
    """Trains the last layer alone in the first epoch, all from then on; a checkpoint holds the parameter groups."""

    def freeze_before_training(self, module):
        self.freeze(module.network[0])

    def finetune_function(self, module, epoch, optimizer):
        if epoch == 1:
            self.unfreeze_and_add_param_group(module.network[0], optimizer)
        elif epoch > 1:
            self.make_trainable(module.network[0])  # it begins frozen where training is resumed


class Scheduled(Task):
    """Its rate is ruled by a schedule of ours."""

    def __init__(self, rate):
        super().__init__()
        self.rate = rate

    def configure_optimizers(self):
        return RMSprop(self.network[2].parameters(), self.rate, momentum=0.9)


@pytest.mark.parametrize(
    "rate", [0.01, CosineDecay(0.01, 50), lambda step: 0.01 / (1 + step)], ids=["number", "schedule", "function"]
)
def test_fine_tuning_resumes(tmp_path, rate):
    whole, first, second = (Scheduled(rate) for _ in range(3))
    fit(whole, tmp_path, epochs=3, callbacks=[Thaw()])
    fit(first, tmp_path, epochs=2, callbacks=[Thaw()]).save_checkpoint(tmp_path / "two.ckpt")
    fit(second, tmp_path, epochs=3, checkpoint=tmp_path / "two.ckpt", callbacks=[Thaw()])
    assert torch.equal(weights(whole), weights(second))
    assert second.rates == whole.rates[16:]


def test_clipping_under_mixed_precision(tmp_path):
    """Which Lightning refuses where the step unscales the gradients, as for torch's fused Adam."""
    task = Task(momentum=0.9)
    fit(task, tmp_path, precision="bf16-mixed", gradient_clip_val=0.25)
    assert task.losses[-1] < task.losses[0] / 2
    with pytest.raises(RuntimeError, match="does not allow for gradient clipping"):
        fit(Task(fused=True), tmp_path, precision="bf16-mixed", gradient_clip_val=0.25)
