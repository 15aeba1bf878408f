"""The CNN path: raw tiles into a network, seeded and repeatable.

::

    model         fit, scores, save, load: what a run asks of it
      ├── networks ── weights     what is computed; what it starts from
      ├── scaling, augment        grey levels to one scale; training tiles varied
      ├── tiles                   batches, kept on the device or read ahead
      ├── search ── learning      how long, at which rate; step by step
      ├── checkpoint              a fit that was stopped goes on
      ├── inference               scores, whole or on frozen features
      ├── cam                     where in a tile each class is seen
      └── device                  where it computes, and that it repeats itself

These modules need PyTorch, torchvision and NumPy alone, and safetensors where files are written:
a copy of the source on a GPU machine trains and scores without the rest of the package. Importing
this package imports nothing.
"""
