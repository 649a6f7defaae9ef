names = ["Float", "Double", "Long", "Int", "Short", "Char", "Byte"]
with open("src/scatter.h", "w") as header:
    for name in names:
        header.write(
            "void scatter_add_%s(TH%sTensor *out, THLongTensor *index, TH%sTensor *src);\n"
            % (name, name, name)
        )
