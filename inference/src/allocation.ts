/**
 * What glibc's allocator is told, as variables of a process's environment; it is read when a process starts.
 *
 * The service: blocks of a megabyte and more go back to the system when they are freed. Left to itself the allocator takes
 * the first large block that is freed for a sign that more will come, and keeps them: a service whose model was changed 150
 * times had grown by 0.4 MiB a change. The Dockerfile has the same line.
 */
export const serviceAllocation = { MALLOC_MMAP_THRESHOLD_: String(2 ** 20) } as const;

/** A worker: decoding takes and frees megabytes on several threads, and with an arena for each of them all are kept. */
export const workerAllocation = { MALLOC_ARENA_MAX: "2" } as const;
