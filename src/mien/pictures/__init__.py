"""The one way from bytes to a face of a size, for corpora, predictions, foreign models and annotators alike.

:mod:`opening` opens a file, :mod:`decode` makes an array of it, :mod:`pixels` brings arrays to one colour and
size, :mod:`quality` measures them; :mod:`tensors` does the last on whole batches, and alone needs torch.
"""
