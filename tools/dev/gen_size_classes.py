#!/usr/bin/env python3
"""Writes src/heap/size_class_table.h: the size classes by Go's method (runtime/_mkmalloc/mksizeclasses.go), with every
class a multiple of 16, because C wants 16-byte alignment and one bit of the side bitmaps stands for 16 bytes. The one
exception is 24, for single objects from tri_new; no size leads to it by the tables.

    tools/dev/gen_size_classes.py > src/heap/size_class_table.h
"""

PAGE, LARGEST, STEP_LARGE, ODD = 8192, 32768, 128, 24


def is_power_of_two(n):
    return n & (n - 1) == 0


def make_classes():
    classes, align, size = [], 16, 16
    while size <= LARGEST:
        if is_power_of_two(size):
            align = 256 if size >= 2048 else size // 8 if size >= 128 else 16
        span = PAGE
        while span % size > span // 8:  # at most an eighth of a span is lost at its end
            span += PAGE
        if classes and classes[-1][1] == span // PAGE and span // size == span // classes[-1][0]:
            classes[-1] = (size, span // PAGE)  # as many objects in as many pages: the larger size serves both
        else:
            classes.append((size, span // PAGE))
        size += align
    result = []
    for size, pages in classes:  # use the whole span
        larger = (pages * PAGE // (pages * PAGE // size)) & ~(STEP_LARGE - 1)
        result.append((max(size, larger), pages))
    result.insert(1, (ODD, 1))
    return result


def worst_waste(previous, size, pages):
    """Percent of a full span lost when every request is the smallest that lands in the class."""
    span = pages * PAGE
    count = span // size
    return 100.0 * (span - count * (previous + 1)) / span


def rows(name, comment, values):
    print(f"/* {comment} */\n#define {name} \\")
    lines = [values[i:i + 28] for i in range(0, len(values), 28)]
    for i, line in enumerate(lines):
        end = "" if i == len(lines) - 1 else ", \\"
        print("  " + ", ".join(f"{v}" for v in line) + end)


def main():
    classes = make_classes()
    print("/* size_class_table.h - made by tools/dev/gen_size_classes.py; do not edit.")
    print(" * class, object bytes, pages per span, objects per span, worst waste in percent. */")
    print("#ifndef TRI_SIZE_CLASS_TABLE_H\n#define TRI_SIZE_CLASS_TABLE_H\n")
    print("/* clang-format off */")
    print("#define TRI_SIZE_CLASSES(X) \\")
    previous = 0
    for i, (size, pages) in enumerate(classes, 1):
        end = "" if i == len(classes) else " \\"
        print(f"  X({i:2}, {size:5}, {pages:2}, {pages * PAGE // size:3}, {worst_waste(previous, size, pages):5.2f}){end}")
        previous = previous if size == ODD else size
    print("/* clang-format on */\n")
    print(f"#define TRI_SIZE_CLASS_COUNT {len(classes) + 1} /* class 0 is for large objects */\n")
    small = [next(i for i, (size, _) in enumerate(classes, 1) if size != ODD and size >= n * 16) for n in range(1024 // 16 + 1)]
    large = [next(i for i, (size, _) in enumerate(classes, 1) if size >= 1024 + n * STEP_LARGE)
             for n in range((LARGEST - 1024) // STEP_LARGE + 1)]
    print("/* clang-format off */")
    rows("TRI_SIZE_TO_CLASS_16", "by (size + 15) / 16, up to 1024 bytes", small)
    rows("TRI_SIZE_TO_CLASS_128", "by (size - 1024 + 127) / 128, above", large)
    print("/* clang-format on */\n")
    print("#endif")


main()
