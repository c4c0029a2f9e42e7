"""The same with skorch and its usual output: ``python with_skorch.py MODULE SEEDS EPOCHS``."""

import sys
from importlib import import_module

import torch
from skorch import NeuralNetClassifier
from skorch.helper import predefined_split

torch.set_num_threads(2)
module, seeds, epochs = import_module(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
train, valid = module.load()
for seed in range(seeds):
    torch.manual_seed(seed)
    net = NeuralNetClassifier(
        module.Net,
        criterion=torch.nn.CrossEntropyLoss,
        optimizer=torch.optim.SGD,
        lr=0.05,
        optimizer__momentum=0.9,
        batch_size=64,
        max_epochs=epochs,
        iterator_train__shuffle=True,
        train_split=predefined_split(valid),
        classes=list(range(10)),
    )
    net.fit(train, None)
