"""Learn what class of entity something is from where it stands in its scene: python train.py epoch.parquet"""

import sys

import numpy as np

from server.client import EpochReader

SEEN = slice(7, None)  # of server.client_epochs.FEATURES: scale, offset from the parent, depth, children, tags
HIDDEN, PASSES, BATCH, RATE = 32, 20, 256, 0.2


def squeezed(features):
    """Sizes and distances over many orders of magnitude become numbers near 0."""
    return np.sign(features[:, SEEN]) * np.log1p(np.abs(features[:, SEEN]))


def held_out(batch):
    """A fifth of the entities, with all of their versions: none is learnt from and asked about."""
    return batch.entity % 5 == 0


def train(reader, classes):
    """A network with one hidden layer, by stochastic gradient descent on batches that were drawn by the samples' weights."""
    rng = np.random.default_rng(0)
    inputs = squeezed(next(reader.batches(1)).features).shape[1]
    w1, b1 = rng.normal(0, inputs**-0.5, (inputs, HIDDEN)), np.zeros(HIDDEN)
    w2, b2 = rng.normal(0, HIDDEN**-0.5, (HIDDEN, len(classes))), np.zeros(len(classes))
    for turn in range(PASSES):
        for batch in reader.batches(BATCH, weighted=True, seed=turn):
            x, y = squeezed(batch.features)[~held_out(batch)], batch.class_type[~held_out(batch)]
            h = np.tanh(x @ w1 + b1)
            wrong = softmax(h @ w2 + b2) - (y[:, None] == classes)  # the gradient of the cross entropy
            back = wrong @ w2.T * (1 - h**2)
            for weights, gradient in ((w2, h.T @ wrong), (b2, wrong.sum(0)), (w1, x.T @ back), (b1, back.sum(0))):
                weights -= RATE / BATCH * gradient
    return lambda x: classes[np.argmax(np.tanh(x @ w1 + b1) @ w2 + b2, axis=1)]


def softmax(z):
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def main(path):
    reader = EpochReader(path, sacred_weight=3.0)
    classes = np.unique(np.concatenate([batch.class_type for batch in reader.batches(4096, weighted=False)]))
    predict = train(reader, classes)
    asked = [(batch, held_out(batch)) for batch in reader.batches(4096, weighted=False)]
    truth = np.concatenate([batch.class_type[which] for batch, which in asked])
    said = np.concatenate([predict(squeezed(batch.features[which])) for batch, which in asked])
    accuracy, baseline = np.mean(said == truth), max(np.mean(truth == name) for name in classes)
    print(f"{len(truth)} samples held out: {accuracy:.1%} right; always the most frequent class: {baseline:.1%}")
    return accuracy, baseline


if __name__ == "__main__":
    main(sys.argv[1])
