#!/usr/bin/env python3
"""Writes the corpora of the fuzzers: small valid files of every kind, and hostile ones that readers have met.

make_corpus.py [FOLDER]   FOLDER: corpus, beside this script
"""
import gzip
import json
import pathlib
import struct
import sys
import zlib

folder = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent / "corpus")


def seed(target, name, content):
    path = folder / target / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())


# --- npy


def npy(descr, shape, data, fortran=False, version=1):
    header = f"{{'descr': '{descr}', 'fortran_order': {fortran}, 'shape': {shape}, }}\n".encode()
    length = struct.pack("<H" if version == 1 else "<I", len(header))
    return b"\x93NUMPY" + bytes([version, 0]) + length + header + data


def doubles(*values):
    return struct.pack(f"<{len(values)}d", *values)


seed("npy", "inputs", npy("<f8", "(4, 1)", doubles(0.5, -1, 2, 1e300)))
seed("npy", "real_targets", npy("<f4", "(4, 2)", struct.pack("<8f", *range(8))))
seed("npy", "labels", npy("|u1", "(4,)", bytes([0, 1, 2, 1])))
seed("npy", "labels_from_1", npy("<i8", "(4,)", struct.pack("<4q", 1, 2, 3, 4)))
seed("npy", "labels_below_0", npy("<i4", "(4,)", struct.pack("<4i", -1, 0, 1, 1)))
seed("npy", "labels_column", npy("<i8", "(4, 1)", struct.pack("<4q", 0, 1, 1, 0)))
seed("npy", "picture", npy("<f2", "(2, 2, 3)", b"\x00\x38" * 12))
seed("npy", "bool", npy("|b1", "(3,)", b"\x00\x01\x02"))
seed("npy", "big_endian_fortran", npy(">i2", "(2, 3)", bytes(range(12)), fortran=True, version=2))
seed("npy", "fortran_cube", npy("<f8", "(2, 3, 2)", doubles(*range(12)), fortran=True))
seed("npy", "fortran_zero_size", npy("<f8", "(0, 3)", b"", fortran=True))
seed("npy", "fortran_zero_and_huge", npy("<f8", f"({2**62}, 4, 0)", b"", fortran=True))
seed("npy", "scalar", npy("<f8", "()", doubles(3.5)))
seed("npy", "one_axis_too_many", npy("|u1", "(" + "1, " * 65 + ")", b"x"))
seed("npy", "python2_long", npy("<u8", "(2L, 1L)", struct.pack("<2Q", 7, 2**53 - 1)))
seed("npy", "integer_beyond_double", npy("<u8", "(1,)", struct.pack("<Q", 2**53 + 1)))
seed("npy", "not_finite", npy("<f8", "(4,)", doubles(0, float("nan"), float("inf"), -0.0)))
seed("npy", "size_overflows", npy("<f8", "(4294967296, 4294967296)", b""))
seed("npy", "truncated", npy("<f8", "(3,)", doubles(1, 2)))
seed("npy", "version_3_padded", npy("<u4", "(1,)" + " " * 40, struct.pack("<I", 9), version=3))
seed("npy", "structured", npy("<f8", "(1,)", b"").replace(b"'<f8'", b"[('a', '<f8')]"))
seed("npy", "header_longer_than_file", b"\x93NUMPY\x02\x00\xff\xff\x00\x00{")
seed("npy", "escape_in_type", npy("\x1b[2J", "(1,)", b"x"))

# --- IDX


def idx(shape, data, kind=8):
    return bytes([0, 0, kind, len(shape)]) + b"".join(struct.pack(">I", size) for size in shape) + data


def packed(data):
    return gzip.compress(data, mtime=0)


images, labels = idx([3, 2, 2], b"abcdefghijkl"), idx([3], b"\x01\x00\x04")
seed("idx", "images", images)
seed("idx", "labels", labels)
seed("idx", "images_gzip", packed(images))
seed("idx", "labels_gzip", packed(labels))
seed("idx", "gzip_of_two_members", packed(labels[:6]) + packed(labels[6:]))
seed("idx", "gzip_wrong_checksum", packed(labels)[:-8] + b"\0" * 8)
seed("idx", "gzip_truncated", packed(images)[:-12])
seed("idx", "gzip_empty", packed(b""))
seed("idx", "gzip_bomb", packed(idx([3, 100, 100], b"\0" * 30000)))
seed("idx", "gzip_announces_much", packed(idx([3, 65535, 2], b"")))
seed("idx", "no_images", idx([0, 2, 2], b""))
seed("idx", "size_overflows", idx([2**32 - 1] * 3, b"x"))
seed("idx", "floats", idx([1], struct.pack(">f", 1), kind=13))
seed("idx", "too_long", labels + b"x")
seed("idx", "label_255", idx([3], b"\x00\xff\x01"))
seed("idx", "two_axes", idx([3, 2], b"abcdef"))

# --- CSV

seed("csv", "labels", "1,2,0\n3,4,1\n5,6,1\n")
seed("csv", "header", "a,b,y\n1,2,0.5\n3,4,-1\n")
seed("csv", "text_labels", "4.9,3.0,setosa\n7.0,3.2,versicolor\n6.3,3.3,setosa\n")
seed("csv", "quotes", 'a,b,"kind"\r\n1,2.5,"x ""y"""\r\n-3e2,+4,z\r\n5,6,z\r\n')
seed("csv", "quoted_line_end", '"a\nb",c\n1,"2"\n3,4\n')
seed("csv", "byte_order_mark", "\ufeffa,b\r1,2\r3,4\r")
seed("csv", "missing_in_first_row", "1,?,0\n2,1,1\n3,2,0\n")
seed("csv", "missing_tokens", "1,NA,0\n,nan,1\nnull,2,0\n")
seed("csv", "header_of_numbers", "0,1\n5,5\n7,7\n")
seed("csv", "numbered_columns", "0,1,2\n1,2,0\n3,4,1\n5,6,1\n")
seed("csv", "ragged", "1,2,3\n4,5\n")
seed("csv", "open_quote", '1,"2\n3,4\n')
seed("csv", "text_after_quote", '"1"x,2\n')
seed("csv", "extremes", "1e308,-1e308,1e-308\n4.9e-324,1e-400,2\n0,-0,3\n")
seed("csv", "too_large", "1e309,1\ninf,2\n")
seed("csv", "labels_from_1", "0.5,1\n0.25,2\n0.125,3\n1,1\n")
seed("csv", "blank_lines", "\n\n1,2\n\n\n3,4\n\n")
seed("csv", "one_column", "1\n2\n")
seed("csv", "control_characters", "a\x1b[2J,b\x07\n1,\x9b\n")
seed("csv", "two_columns_of_one_name", "a,a,b\n1,2,3\n4,5,6\n")
seed("csv", "empty", "")

# --- safetensors: a header's JSON, a line end and the data, or a file


def tensor(dtype, shape, begin, end):
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def model(tensors, data, layers=None, heads=1, **metadata):
    header = {}
    if layers is not None:
        metadata["lossatlas.network"] = json.dumps({"layers": layers, "heads": heads}, separators=(",", ":"))
    if metadata:
        header["__metadata__"] = metadata
    return json.dumps(header | tensors, separators=(",", ":")).encode() + b"\n" + data


def dense(inputs, outputs, activation="identity", bias=True):
    return {"type": "dense", "in": inputs, "out": outputs, "bias": bias, "activation": activation}


def file_of(recipe):
    header, data = recipe.split(b"\n", 1)
    return struct.pack("<Q", len(header)) + header + data


own = model({"layers.0.weight": tensor("F64", [1, 2], 0, 16), "layers.0.bias": tensor("F64", [1], 16, 24)},
            doubles(1, -2, 0.5), [dense(2, 1)], format="pt")
foreign = {"0.weight": tensor("F16", [2, 2], 4, 12), "0.bias": tensor("BF16", [2], 0, 4),
           "2.weight": tensor("F64", [1, 2], 16, 32), "2.bias": tensor("F32", [1], 12, 16)}
seed("safetensors", "own", own)
seed("safetensors", "own_file", file_of(own))
seed("safetensors", "own_deep", model(
    {f"layers.{i}.weight": tensor("F32", [1, 1], 4 * i, 4 * i + 4) for i in range(3)}, b"\0" * 12,
    [dense(1, 1, "relu", False), dense(1, 1, "softplus", False), dense(1, 1, bias=False)]))
seed("safetensors", "own_heads", model(
    {"layers.0.weight": tensor("F64", [4, 1], 0, 32)}, doubles(1, 2, 3, 4), [dense(1, 4, bias=False)], heads=2))
seed("safetensors", "foreign", model(foreign, b"\x3c" * 32))
seed("safetensors", "foreign_file", file_of(model(foreign, b"\x3c" * 32)))
seed("safetensors", "foreign_names", model(
    {"fc1.weight": tensor("F32", [1, 1], 0, 4), "fc2.bias": tensor("F32", [1], 4, 8)}, b"\0" * 8))
seed("safetensors", "batch_norm", model(
    {"1.num_batches_tracked": tensor("I64", [], 0, 8), "1.running_mean": tensor("F32", [2], 8, 16)}, b"\0" * 16))
seed("safetensors", "convolution", model({"0.weight": tensor("F32", [2, 1, 3, 3], 0, 72)}, b"\0" * 72))
seed("safetensors", "not_finite", model(foreign, b"\xff" * 32))
seed("safetensors", "hole", model({"0.weight": tensor("F32", [1, 1], 4, 8)}, b"\0" * 8))
seed("safetensors", "overlap", model(
    {"0.weight": tensor("F32", [1, 1], 0, 4), "0.bias": tensor("F32", [1], 0, 4)}, b"\0" * 4))
seed("safetensors", "empty_tensor", model({"0.weight": tensor("F32", [0, 5], 0, 0)}, b""))
seed("safetensors", "shape_overflows", model({"0.weight": tensor("F64", [2**62, 8], 0, 8)}, b"\0" * 8))
seed("safetensors", "architecture_too_large", model(
    {"layers.0.weight": tensor("F64", [1, 1], 0, 8)}, b"\0" * 8, [dense(2**31, 2**31)] * 3))
seed("safetensors", "unknown_activation", model(
    {"layers.0.weight": tensor("F64", [1, 1], 0, 8)}, b"\0" * 8, [dense(1, 1, "\x1b[2J\x07", False)]))
seed("safetensors", "numbers_beyond", '{"0.weight":{"dtype":"F64","shape":[1e999],"data_offsets":[0,8]}}\n12345678')
seed("safetensors", "negative_offset", '{"0.weight":{"dtype":"F64","shape":[1],"data_offsets":[-1,8]}}\n12345678')
seed("safetensors", "key_twice", '{"0.weight":1,"0.weight":1}\n')
seed("safetensors", "deep_nesting", "[" * 500)
seed("safetensors", "malformed", '{"layers":[{"in":\n')
seed("safetensors", "length_beyond", struct.pack("<Q", 2**63) + b"{}")
seed("safetensors", "pickle", b"PK\x03\x04\0\0\0\0\0\0archive/data.pkl")

# --- PNG


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width, height, depth, colour, rows, before=b"", interlace=0, after=b""):
    raw = b"".join(b"\0" + row for row in rows)
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlace)
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + before + chunk(b"IDAT", zlib.compress(raw, 9)) + after +
            chunk(b"IEND", b""))


def bomb(width, height, depth, colour, row_bytes, before=b""):
    return png(width, height, depth, colour, [b"\0" * row_bytes] * height, before)


palette = chunk(b"PLTE", b"abcdefghi")
seed("png", "grey", png(5, 4, 8, 0, [b"abcde"] * 4))
seed("png", "grey_1_bit", png(9, 3, 1, 0, [b"\xaa\x80"] * 3))
seed("png", "grey_16_bit", png(2, 2, 16, 0, [b"\x01\x02\xfe\xff"] * 2))
seed("png", "grey_transparent", png(2, 2, 8, 0, [b"ab"] * 2, chunk(b"tRNS", b"\0a")))
seed("png", "grey_alpha", png(2, 2, 8, 4, [b"abcd"] * 2))
seed("png", "colours", png(2, 2, 8, 2, [b"abcdef"] * 2))
seed("png", "colours_alpha_16_bit", png(2, 3, 16, 6, [b"x" * 16] * 3, chunk(b"tEXt", b"key\0x") + chunk(b"gAMA", b"abcd")))
seed("png", "palette", png(9, 2, 2, 3, [b"\x1b\x05\0", b"\x16\x50\x40"], palette + chunk(b"tRNS", b"xyz")))
seed("png", "palette_index_beyond", png(2, 1, 8, 3, [b"\0\xff"], palette))
seed("png", "palette_missing", png(2, 1, 8, 3, [b"\0\1"]))
seed("png", "interlaced", png(1, 1, 8, 0, [b"a"], interlace=1))
seed("png", "compressed_text", png(1, 1, 8, 0, [b"a"], chunk(b"zTXt", b"key\0\0" + zlib.compress(b"x" * 5000))))
seed("png", "compressed_profile", png(1, 1, 8, 0, [b"a"], chunk(b"iCCP", b"name\0\0" + zlib.compress(b"\0" * 5000))))
seed("png", "bytes_after_end", png(1, 1, 8, 0, [b"a"]) + b"x")
seed("png", "text_after_picture", png(1, 1, 8, 0, [b"a"], after=chunk(b"tEXt", b"key\0x")))
seed("png", "chunk_beyond", png(1, 1, 8, 0, [b"a"])[:-12] + b"\x7f\xff\xff\xffIDAT")
seed("png", "truncated", png(5, 4, 8, 0, [b"abcde"] * 4)[:50])
seed("png", "side_beyond", png(16385, 1, 1, 0, [b"\0" * 2049]))
seed("png", "no_rows", png(4, 2, 8, 0, []))
seed("png", "wrong_checksum", png(1, 1, 8, 0, [b"a"]).replace(b"IDAT", b"IDAT\0", 1))
seed("png", "palette_bomb", bomb(500, 500, 1, 3, 63, palette + chunk(b"tRNS", b"xyz")))

# --- shards and journals: a header's JSON, a line end and bytes for the losses or the finished tiles


def run(shard=0, shards=0, tile=None, heads=2, **changed):
    if tile is None:  # a finished shard is one tile
        tile = max(1, 12 // shards) if shards else 2
    entries = {
        "axes": [{"hi": 1.0, "lo": 0.0, "points": 4}, {"hi": 1.0, "lo": 0.0, "points": 3}],
        "heads": heads,
        "identity": [{"hash": 17, "name": "model", "text": "formula"}, {"hash": 18, "name": "precision", "text": "f64"}],
        "shard": shard,
        "shards": shards,
        "tile": tile,
    }
    return json.dumps(entries | changed, separators=(",", ":"))


def part(name="model", text="formula", hash=17):
    return {"hash": hash, "name": name, "text": text}


for target, numbers in (("shard", {"shard": 1, "shards": 1}), ("journal", {})):
    payload = "\n12345678" if target == "shard" else "\n\x00\x01\x05\x03"
    seed(target, "whole", run(**numbers) + payload)
    seed(target, "no_payload", run(**numbers) + "\n")
    seed(target, "first_half", run(1, 2) + payload)
    seed(target, "first_half_tile_4", run(1, 2, 4) + payload)
    seed(target, "second_half", run(2, 2) + payload)
    seed(target, "one_tile", run(tile=12, **numbers) + payload)
    seed(target, "tile_beyond", run(tile=13, **numbers) + payload)
    seed(target, "no_tile", run(tile=0, **numbers) + payload)
    seed(target, "shard_0", run(0, 2) + payload)
    seed(target, "shard_beyond", run(3, 2) + payload)
    seed(target, "more_shards_than_points", run(1, 13) + payload)
    seed(target, "heads_beyond", run(heads=2**62, **numbers) + payload)
    seed(target, "heads_negative", run(heads=-1, **numbers) + payload)
    seed(target, "points_beyond", run(axes=[{"hi": 1, "lo": 0, "points": 2**40}] * 2, **numbers) + payload)
    seed(target, "range_beyond", run(axes=[{"hi": 1e308, "lo": -1e308, "points": 12}], **numbers) + payload)
    seed(target, "64_axes", run(axes=[{"hi": 1, "lo": 0, "points": 1}] * 64, tile=1, **numbers) + payload)
    seed(target, "no_axes", run(axes=[], **numbers) + payload)
    seed(target, "other_grid", run(axes=[{"hi": 2, "lo": 0, "points": 12}], **numbers) + payload)
    seed(target, "other_model", run(identity=[part(hash=1), part("precision", "f64", 18)], **numbers) + payload)
    seed(target, "no_identity", run(identity=[], **numbers) + payload)
    seed(target, "more_identity", run(identity=[part(), part("precision", "f64", 18), part("plan")], **numbers) + payload)
    seed(target, "other_precision", run(identity=[part(), part("precision", "f33", 18)], **numbers) + payload)
    seed(target, "control_characters", run(1, 2, identity=[part(text="a\x1b[2J\n\x07\x9b")]) + payload)
    seed(target, "hash_is_a_float", run(identity=[part(hash=1e300)], **numbers) + payload)
    seed(target, "heads_is_a_float", run(heads=1e300, **numbers) + payload)
    seed(target, "hash_is_negative", run(identity=[part(hash=-1)], **numbers) + payload)
    seed(target, "text_is_a_number", run(identity=[part(text=1)], **numbers) + payload)
    seed(target, "long_text", run(1, 2, identity=[part(text="x" * 2000)]) + payload)
    seed(target, "nested", run(axes=[[[[[[]]]]]], **numbers) + payload)
    seed(target, "malformed", '{"axes":[{"hi":\n')
seed("shard", "ends_in_header", b"LOSSATLAS SHARD2" + struct.pack("<Q", 100) + b"{}")
seed("shard", "length_beyond", b"LOSSATLAS SHARD2" + struct.pack("<Q", 2**64 - 1) + b"{}")
seed("shard", "other_version", b"LOSSATLAS SHARD9")
seed("journal", "ends_in_header", b"LOSSATLAS RUN 01" + struct.pack("<Q", 100) + b"{}")
seed("journal", "length_beyond", b"LOSSATLAS RUN 01" + struct.pack("<Q", 2**64 - 1) + b"{}")
seed("journal", "ends_in_magic", b"LOSSATLAS")
seed("journal", "empty", b"")

# --- descriptions of data sets, with the files that spec_fuzz.cpp makes

for name, text in {
    "idx": "idx:i,l",
    "idx_one_file": "idx:i",
    "idx_slice": "idx:i,l@1:3",
    "idx_missing": "idx:none,l",
    "csv": "csv:t.csv",
    "csv_target_name": "csv:t.csv,target=a",
    "csv_target_index": "csv:t.csv,target=1,standardise",
    "csv_target_twice": "csv:t.csv,target=1,target=0",
    "csv_target_missing": "csv:t.csv,target=",
    "csv_comma_in_name": "csv:a,b.csv,standardise@0:2",
    "csv_unknown_option": "csv:t.csv,nonsense",
    "csv_header": "csv:t.csv,header=yes",
    "csv_classes": "csv:a,b.csv,classes=y,x",
    "csv_real": "csv:t.csv,real",
    "npy": "npy:x.npy,y.npy",
    "npy_slice": "npy:x.npy,y.npy@0:4",
    "npy_real": "npy:x.npy,y.npy,real",
    "glyphs": "glyphs:3",
    "glyphs_seed": "glyphs:3,seed=18446744073709551615",
    "glyphs_seed_beyond": "glyphs:3,seed=18446744073709551616",
    "glyphs_none": "glyphs:0",
    "glyphs_beyond": "glyphs:1000001",
    "glyphs_negative": "glyphs:-1",
    "tanh3": "tanh3",
    "tanh3_slice": "tanh3@10:50",
    "slice_beyond": "tanh3@0:51",
    "slice_empty": "tanh3@1:1",
    "slice_backwards": "tanh3@5:1",
    "slice_negative": "tanh3@-1:3",
    "slice_overflows": "tanh3@0:18446744073709551615",
    "slice_twice": "tanh3@0:5@0:2",
    "slice_open": "tanh3@3:",
    "kind_unknown": "parquet:t",
    "control_characters": "csv:\x1b[2J\x07\n",
    "nothing": "",
    "colon": ":",
    "at": "@",
}.items():
    seed("spec", name, text)

# --- command lines, an argument a line, and values of options

common = "--model\nm.safetensors\n--data\ntanh3\n--loss\nmse\n"
for name, text in {
    "help": "--help",
    "version": "--version",
    "unknown": "nonsense\n--x",
    "section": f"section\n{common}--directions\nrandom\n--count\n2\n--range=-1:1,0:2\n--grid\n5x3\n--out\no.npy",
    "section_shard": f"section\n{common}--directions\nfilter\n--shard\n3/8\n--tile\n100\n--resume\n--out\no.npy\n--json",
    "section_usage": f"section\n{common}--directions\nd.npy\n--seed\n3\n--tolerance\n1e-3",
    "section_help": "section\n--help",
    "fit": "fit\n--target\ndemo\n--train\nglyphs:20\n--hidden\n8,16\n--out\nout",
    "merge": "merge\na\nb\n--out\nc.npy",
    "evaluate": f"evaluate\n{common}--layers\n1,2,1\n--activation\ntanh\n--bias\nhidden\n--heads\n1",
    "find": "find\n--layers\n1,2,1\n--bias\nhidden\n--data\ntanh3\n--loss\nmse\n--starts\n8\n--out\npoints",
    "split": "split\n--model\nm\n--layer\n1\n--neuron\n0\n--weights\n0.5,0.5\n--out\nw",
    "embed": "embed\n--model\nm\n--layers\n1,3,1\n--rule\n1:0=0.5,0.5\n--out\nw",
    "spectrum": f"spectrum\n{common}",
    "forecast": f"forecast\n{common}--layer\n1\n--neuron\n0\n--alpha\n0:1:5",
    "info": "info\n--json",
    "reproduce": "reproduce\n--figure\n2\n--out\no",
    "number_beyond": f"section\n{common}--directions\nrandom\n--count\n99999999999999999999\n--seed\n-1",
    "number_octal": f"section\n{common}--directions\nrandom\n--count\n010\n--threads\n0x10\n--tile\n0",
    "margin": "fit\n--margin\n1e308",
    "control_characters": "section\n--model\n\x1b[2J\x07\x9b\n--loss\n\x1b",
    "long_option": "--" + "x" * 2000,
    "numbers": "0.3,0.3,0.4",
    "numbers_beyond": "1e309,nan,inf",
    "numbers_hexadecimal": "0x1p3,+1,1e400",
    "numbers_separators": ",,",
    "numbers_slash": "3/8",
    "numbers_colon": "0:1:5",
    "widths": "64,2048",
    "widths_beyond": "2147483648",
    "widths_leading_zero": "064",
    "grid": "51x41",
    "grid_of_one": "128",
    "grid_of_three": "2x3x4",
    "grid_zero": "0x5",
    "range": "-1:1,0:2",
    "range_of_one": "-1e308:1e308",
    "range_open": "1:",
}.items():
    seed("options", name, text)
