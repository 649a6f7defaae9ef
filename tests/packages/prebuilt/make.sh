#!/bin/sh
set -e
cd src
echo "Compiling the objects ..."
cc -O2 -fPIC -c -o kernel.o kernel.c
cc -O2 -fPIC -c -o extra.o extra.c
ar rcs libextra.a extra.o
cd ..
python build.py
