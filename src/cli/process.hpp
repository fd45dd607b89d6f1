// Prepares the process before anything else happens.
#pragma once

namespace lossatlas::cli {

/// Gives back the processors that were hidden from libraries while they were loaded. Occupies those of the descriptors
/// 0 to 2 that are closed, so that no file of ours gets such a number and takes in what is printed: reading and writing
/// them still fails. A write beyond a limit, or into a pipe that nobody reads, now fails instead of ending the process.
void prepare_process();

/// Whether a pipe that nobody reads would have ended this process, as in `lossatlas ... | head`.
bool pipe_ends_process();

}  // namespace lossatlas::cli
