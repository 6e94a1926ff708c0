"""The one way from bytes to a face of a size, for corpora, predictions, foreign models and annotators alike.

:mod:`opening` opens a file, :mod:`decode` makes an array of it, :mod:`pixels` brings arrays to one colour and
size, :mod:`preprocessing` does what some networks want besides, :mod:`alignment` sets eyes level, :mod:`quality`
measures them; :mod:`tensors` does what :mod:`pixels` and :mod:`preprocessing` do on batches, and alone needs torch.
"""
