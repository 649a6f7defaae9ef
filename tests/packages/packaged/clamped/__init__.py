from ._ext.clamp import clamp_
