# Commands for gdb, which loads this script with every program that has rustlet in it:
#
#     info green            lists the green threads
#     green ID COMMAND      runs a command of gdb, such as `bt`, in the frames of a green thread
#     green all COMMAND     the same for each that has a stack
#     green core FILE       writes a core file; that of `gcore` lacks the stacks of green threads
#
# Live processes and core files, x86_64 and aarch64. It reads `LAYOUT` of debugger.rs, so symbols
# must not be stripped; types are not needed. It writes neither memory nor registers.
import re
import struct
import gdb
import gdb.unwinder

LAYOUT = "rustlet::green::block::debugger::LAYOUT"
VERSION = 1
FIELDS = (
    "version slabs slab_count slab_blocks block_size state reason refs id at spawned_at rare rare_name "
    "handle handle_words yielder low reasons reason_count sample sample_line sample_column sample_file sample_length"
).split()
# `State` in mod.rs.
STATES = ["not started", "ready", "running", "waits", "ended"]
NEW, READY, RUNNING, PARKED, DONE = range(5)
# How far the saved stack pointer is below `low` at most (F8 in fiber/mod.rs).
MAX_FRAME_BYTES = 64 << 10
# What corosensei pushes when a coroutine suspends: the bytes, and the word of each register. At
# the base of its stack a link points to what it pushed on its parent's.
SAVED_WORDS = {
    "x86-64": (24, {"rip": 0, "rbx": 1, "rbp": 2}, "rip", "rsp"),
    "aarch64": (32, {"x19": 0, "x29": 1, "pc": 2}, "pc", "sp"),
}


def read(address, size):
    return gdb.selected_inferior().read_memory(address, size).tobytes()


def words(address, count):
    return struct.unpack("<%dQ" % count, read(address, 8 * count))


def word(address):
    return words(address, 1)[0]


def text(address, length):
    return read(address, length).decode("utf-8", "replace") if address and length else ""


def switch():
    name = gdb.selected_inferior().architecture().name()
    for key, value in SAVED_WORDS.items():
        if key in name:
            return value
    raise gdb.GdbError("green threads of %s are not known to this script" % name)


class Layout:
    """Where things are in this program."""

    def __init__(self):
        address = self.address()
        for name, value in zip(FIELDS, words(address, len(FIELDS))):
            setattr(self, name, value)
        if self.version != VERSION:
            raise gdb.GdbError("this script is for another version of rustlet than the program's")
        self.reason_texts = [text(*words(self.reasons + 16 * i, 2)) for i in range(self.reason_count)]
        sample = read(self.sample, 24)
        halves = struct.unpack("<6I", sample)
        self.file_at = [i for i in (0, 8) if struct.unpack_from("<QQ", sample, i)[1] == self.sample_length][0]
        self.line_at = 4 * halves.index(self.sample_line)
        self.column_at = [4 * i for i in range(6) if halves[i] == self.sample_column and 4 * i != self.line_at][-1]

    @staticmethod
    def address():
        # The parser of Rust's expressions knows only what debug information describes. Without any,
        # the name of a symbol may end in a hash.
        for command in ("with language c -- info address %s", "info variables ^%s"):
            try:
                found = re.search(r"0x[0-9a-f]+", gdb.execute(command % LAYOUT, to_string=True))
            except gdb.error:
                continue
            if found:
                return int(found.group(), 16)
        raise gdb.GdbError("no symbol %s: is rustlet in this program, and is it stripped?" % LAYOUT)

    def location(self, address):
        if not address:
            return ""
        record = read(address, 24)
        file = text(*struct.unpack_from("<QQ", record, self.file_at))
        number = lambda offset: struct.unpack_from("<I", record, offset)[0]
        return "%s:%d:%d" % (file, number(self.line_at), number(self.column_at))

    def threads(self):
        """The green threads that have not ended, by number."""
        found = []
        for i in range(self.slab_count):
            slab = word(self.slabs + 8 * i)
            start, count = words(slab + self.slab_blocks, 2)
            memory = read(start, count * self.block_size)
            for at in range(0, len(memory), self.block_size):
                refs = struct.unpack_from("<I", memory, at + self.refs)[0]
                if refs and memory[at + self.state] < DONE:
                    found.append(Thread(self, memory[at : at + self.block_size]))
        return sorted(found, key=lambda thread: thread.id)


class Thread:
    def __init__(self, layout, block):
        get = lambda offset: struct.unpack_from("<Q", block, offset)[0]
        self.id = get(layout.id)
        self.state = block[layout.state]
        reason = block[layout.reason]
        # As in a dump: a thread that is ready and has not waited has not started.
        if self.state == READY and reason == 0:
            self.state = NEW
        self.reason = layout.reason_texts[reason] if reason < layout.reason_count else "?"
        self.at = get(layout.at)
        self.spawned_at = get(layout.spawned_at)
        rare = get(layout.rare)
        self.name = text(*words(rare + layout.rare_name, 2)) if rare else ""
        self.base = get(layout.yielder) if self.state != NEW else 0
        self.sp = 0
        if self.state in (READY, PARKED):
            low = get(layout.low)
            handle = struct.unpack_from("<%dQ" % layout.handle_words, block, layout.handle)
            self.sp = max((word for word in handle if low - MAX_FRAME_BYTES < word <= low), default=0)
        self.layout = layout

    def __str__(self):
        summary = "green thread %d" % self.id
        if self.name:
            summary += " '%s'" % self.name
        summary += ", " + STATES[self.state]
        if self.state == PARKED:
            summary += " in %s at %s" % (self.reason, self.layout.location(self.at))
        if self.spawned_at:
            summary += ", spawned at %s" % self.layout.location(self.spawned_at)
        return summary

    def os_thread(self):
        """The OS thread that runs it: its stack pointer is below the base, and none is closer."""
        selected, best = gdb.selected_thread(), None
        for thread in gdb.selected_inferior().threads():
            thread.switch()
            sp = int(gdb.newest_frame().read_register(switch()[3]))
            if sp < self.base and (best is None or sp > best[0]):
                best = (sp, thread)
        selected.switch()
        return best


class Suspended(gdb.unwinder.Unwinder):
    """Puts the frames of a suspended green thread below frame 0, and ends those of any at its base."""

    def __init__(self):
        super().__init__("rustlet")
        self.enabled = False
        self.thread = None

    def __call__(self, pending):
        size, saved, pc_name, sp_name = switch()
        pc, sp = (int(pending.read_register(name)) for name in (pc_name, sp_name))
        if (pc, sp) == self.top and self.thread.sp:
            pushed = words(self.thread.sp, size // 8)
            values = {name: pushed[at] for name, at in saved.items()}
            values[sp_name] = self.thread.sp + size
            if "x29" in saved:
                # It is not live there, but gdb's own unwinder asks for it.
                values["x30"] = values[pc_name]
            return self.unwound(pending, FrameId(self.thread.sp - 8, pc), values)
        if self.thread.base - MAX_FRAME_BYTES < sp <= self.thread.base and is_base(pc):
            # The outermost frame: what follows is the worker's, and stale if the thread waits.
            values = {pc_name: 0, sp_name: sp + 8}
            if "x29" in saved:
                values["x30"] = 0
            return self.unwound(pending, FrameId(sp, pc), values)
        return None

    def unwound(self, pending, frame, values):
        info = pending.create_unwind_info(frame)
        for name, value in values.items():
            kind = pending.read_register(name).type
            info.add_saved_register(name, gdb.Value(value).cast(kind))
        return info


class FrameId:
    def __init__(self, sp, pc):
        self.sp, self.pc = gdb.Value(sp), gdb.Value(pc)


def is_base(pc):
    return "stack_init_trampoline" in gdb.execute("info symbol %#x" % pc, to_string=True)


SUSPENDED = Suspended()
gdb.unwinder.register_unwinder(None, SUSPENDED, True)


def within(thread, command):
    """Runs a command in the frames of a thread. If it is suspended, they are frame 1 and those
    above; if it runs, its OS thread is selected."""
    gdb.newest_frame().select()
    frame = gdb.newest_frame()
    size, saved, pc_name, sp_name = switch()
    SUSPENDED.thread = thread
    SUSPENDED.top = tuple(int(frame.read_register(name)) for name in (pc_name, sp_name))
    SUSPENDED.enabled = True
    gdb.invalidate_cached_frames()
    try:
        if not thread.sp:
            return gdb.execute(command)
        first = gdb.newest_frame().older()
        if first is None:
            raise gdb.GdbError("no frames: %s" % gdb.newest_frame().unwind_stop_reason())
        first.select()
        if re.match(r"(bt|backtrace|where)\b", command):
            count = re.search(r"\s(\d+)$", command)
            if count:
                command = command[: count.start(1)] + str(int(count.group(1)) + 1)
            summary = gdb.execute(command, to_string=True)
            start = re.search(r"^#1\s", summary, re.M)
            gdb.write(summary[start.start() :] if start else summary)
        else:
            gdb.execute(command)
    finally:
        SUSPENDED.enabled = False
        gdb.invalidate_cached_frames()
        gdb.newest_frame().select()


def run_in(thread, command):
    gdb.write("%s\n" % thread)
    if not command:
        return
    found = thread.os_thread() if thread.base else None
    if thread.sp and found and thread.sp - MAX_FRAME_BYTES < found[0]:
        # It is about to be suspended, or just resumed.
        thread.state, thread.sp = RUNNING, 0
    if thread.state == RUNNING:
        selected, found = gdb.selected_thread(), found and found[1]
        if found is None:
            gdb.write("its worker is not among the threads of this process\n")
            return
        gdb.write("runs on thread %d\n" % found.num)
        found.switch()
        try:
            within(thread, command)
        finally:
            selected.switch()
    elif thread.sp:
        within(thread, command)
    else:
        gdb.write("it has no stack yet\n" if thread.state == NEW else "its stack pointer is not known\n")


class InfoGreen(gdb.Command):
    """Lists the green threads of the process."""

    def __init__(self):
        super().__init__("info green", gdb.COMMAND_STACK)

    def invoke(self, argument, from_tty):
        threads = Layout().threads()
        for thread in threads:
            gdb.write("%s\n" % thread)
        gdb.write("%d green threads\n" % len(threads))


class Green(gdb.Command):
    """Runs a command in the frames of a green thread: green ID COMMAND.

    `green all COMMAND` runs it in each that has started. The frames are numbered from 1; frame 0,
    which `bt` does not show, is that of an OS thread. `green core FILE` writes a core file."""

    def __init__(self):
        super().__init__("green", gdb.COMMAND_STACK)

    def invoke(self, argument, from_tty):
        which, _, command = argument.strip().partition(" ")
        command = command.strip()
        if which == "core" and command:
            return write_core(command)
        threads = Layout().threads()
        if which == "all":
            for thread in threads:
                if thread.state != NEW:
                    run_in(thread, command)
            return
        if not which.isdigit():
            raise gdb.GdbError("green ID COMMAND, green all COMMAND or green core FILE; `info green` has the numbers")
        found = [thread for thread in threads if thread.id == int(which)]
        if not found:
            raise gdb.GdbError("no green thread %s" % which)
        run_in(found[0], command)


def write_core(path):
    """Writes a core file. gdb ends a mapping at the first page that it cannot read, which is the
    guard of the first stack, so the stacks are added afterwards."""
    gdb.execute("generate-core-file %s" % path)
    stacks = [(thread.sp, thread.base) for thread in Layout().threads() if thread.sp]
    with open(path, "r+b") as core:
        core.seek(32)
        (table,) = struct.unpack("<Q", core.read(8))
        core.seek(54)
        entry, count = struct.unpack("<HH", core.read(4))
        loads = []
        for i in range(count):
            core.seek(table + i * entry)
            kind, _, offset, start, _, size = struct.unpack("<IIQQQQ", core.read(40))
            if kind == 1:
                loads.append((start, size, offset))
        for sp, base in stacks:
            for start, size, offset in loads:
                if start <= sp < start + size:
                    core.seek(offset + sp - start)
                    # Up to the parent link and the function above it.
                    core.write(read(sp, base + 16 - sp))


InfoGreen()
Green()
