// What the program asks of its process before anything else.
#pragma once

namespace lossatlas::cli {

/// Gives back the processors that were kept from libraries while they were loaded. Occupies closed ones of the
/// descriptors 0 to 2, so that no file of ours becomes one and takes in what is printed: reading and writing them fails
/// as before. A write beyond a limit, or into a pipe that nobody reads, fails in place of ending the process.
void prepare_process();

/// Whether a pipe that nobody reads would have ended this process, as in `lossatlas ... | head`.
bool pipe_ends_process();

}  // namespace lossatlas::cli
