<?php

namespace Piwik\Plugins\QueuedTracking\Store;

use Piwik\Plugins\QueuedTracking\SystemSettings;

/** A list a queue; a key with a time to live a lock. */
class RedisStore implements Store
{
    private const IF_MINE = "if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call(%s) end return 0";

    private $redis;

    public function __construct(SystemSettings $settings)
    {
        if (!class_exists('\Redis', false)) {
            throw new \Exception('The phpredis extension is needed');
        }
        $this->redis = new \Redis();
        $this->redis->connect(
            $settings->redisHost->getValue(),
            (int) $settings->redisPort->getValue(),
            (float) $settings->redisTimeout->getValue()
        );
        $password = $settings->redisPassword->getValue();
        if ($password !== '') {
            $this->redis->auth($password);
        }
        $this->redis->select((int) $settings->redisDatabase->getValue());
    }

    public function append(string $list, string $value): void
    {
        $this->redis->rPush($list, gzcompress($value));
    }

    public function first(string $list, int $count): array
    {
        return array_map(function ($value) {
            return @gzuncompress($value) ?: $value;
        }, $count > 0 ? $this->redis->lRange($list, 0, $count - 1) : []);
    }

    public function dropFirst(string $list, int $count): void
    {
        $this->redis->lTrim($list, $count, -1);
    }

    public function length(string $list): int
    {
        return (int) $this->redis->lLen($list);
    }

    public function lock(string $name, string $owner, int $seconds): bool
    {
        return (bool) $this->redis->set($name, $owner, ['nx', 'ex' => $seconds]);
    }

    public function extend(string $name, string $owner, int $seconds): bool
    {
        $script = sprintf(self::IF_MINE, "'expire', KEYS[1], ARGV[2]");

        return (bool) $this->redis->eval($script, [$name, $owner, $seconds], 1);
    }

    public function unlock(string $name, string $owner): void
    {
        $this->redis->eval(sprintf(self::IF_MINE, "'del', KEYS[1]"), [$name, $owner], 1);
    }

    public function locks(string $start): array
    {
        $found = [];
        foreach ($this->redis->keys($start . '*') ?: [] as $name) {
            $found[$name] = (int) $this->redis->pttl($name);
        }

        return $found;
    }

    public function forceUnlock(string $name): void
    {
        $this->redis->del($name);
    }
}
