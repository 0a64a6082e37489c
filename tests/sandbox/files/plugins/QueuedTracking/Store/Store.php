<?php

namespace Piwik\Plugins\QueuedTracking\Store;

/** Where request sets wait, and where a worker marks the list that it works on. */
interface Store
{
    public function append(string $list, string $value): void;

    /** @return string[] the oldest values, at most so many */
    public function first(string $list, int $count): array;

    public function dropFirst(string $list, int $count): void;

    public function length(string $list): int;

    public function lock(string $name, string $owner, int $seconds): bool;

    /** False where the lock is no longer the owner's. */
    public function extend(string $name, string $owner, int $seconds): bool;

    public function unlock(string $name, string $owner): void;

    /** @return int[] milliseconds left, by the lock's name */
    public function locks(string $start): array;

    public function forceUnlock(string $name): void;
}
