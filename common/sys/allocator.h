// How the C library's allocator treats what this process frees.
//
// Shard: called once, before threads exist.
#pragma once

namespace millrace {

// Freed buffers of requests and reads are kept for the next ones instead of being given back to the
// kernel each time: faulting their pages in again was a third of the cost of a read from the page
// cache. At most 64 MiB stay for that, per allocating thread.
void KeepFreedBuffers();

}  // namespace millrace
