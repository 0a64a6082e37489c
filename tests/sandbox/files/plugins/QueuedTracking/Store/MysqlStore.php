<?php

namespace Piwik\Plugins\QueuedTracking\Store;

use Piwik\Common;
use Piwik\Db;

/** A table a queue, made on first use; a row a lock. */
class MysqlStore implements Store
{
    public const LOCKS = 'queuedtracking_queue';

    public static function createLocks(): void
    {
        Db::exec('CREATE TABLE IF NOT EXISTS `' . Common::prefixTable(self::LOCKS) . '` (
            queue_key VARCHAR(70) NOT NULL PRIMARY KEY,
            queue_value VARCHAR(255) NULL,
            expiry_time BIGINT UNSIGNED DEFAULT 9999999999) ENGINE=InnoDB');
    }

    public static function dropLocks(): void
    {
        Db::exec('DROP TABLE IF EXISTS `' . Common::prefixTable(self::LOCKS) . '`');
    }

    public function append(string $list, string $value): void
    {
        $insert = 'INSERT INTO ' . $this->table($list) . ' (list_value) VALUES (?)';
        $packed = gzcompress($value);
        try {
            Db::query($insert, [$packed]);
        } catch (\Exception $missing) {
            if (!$this->isMissing($missing)) {
                throw $missing;
            }
            Db::get()->query('CREATE TABLE IF NOT EXISTS ' . $this->table($list) . ' (
                idqueuelist BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
                list_value LONGBLOB NOT NULL) ENGINE=InnoDB DEFAULT CHARSET=utf8mb3');
            Db::query($insert, [$packed]);
        }
    }

    public function first(string $list, int $count): array
    {
        $rows = $this->read("SELECT list_value FROM %s ORDER BY idqueuelist LIMIT $count", $list);

        return array_map(function ($row) {
            return gzuncompress($row['list_value']);
        }, $rows);
    }

    public function dropFirst(string $list, int $count): void
    {
        if ($count > 0) {
            Db::query('DELETE FROM ' . $this->table($list) . " ORDER BY idqueuelist LIMIT $count");
        }
    }

    public function length(string $list): int
    {
        $rows = $this->read('SELECT COUNT(*) AS total FROM %s', $list);

        return (int) ($rows[0]['total'] ?? 0);
    }

    public function lock(string $name, string $owner, int $seconds): bool
    {
        Db::query("DELETE FROM {$this->locksTable()} WHERE queue_key = ? AND expiry_time < UNIX_TIMESTAMP()", [$name]);
        $sql = "INSERT IGNORE INTO {$this->locksTable()} VALUES (?, ?, UNIX_TIMESTAMP() + ?)";

        return Db::get()->rowCount(Db::query($sql, [$name, $owner, $seconds])) === 1;
    }

    public function extend(string $name, string $owner, int $seconds): bool
    {
        $mine = 'queue_key = ? AND queue_value = ?';
        Db::query("UPDATE {$this->locksTable()} SET expiry_time = UNIX_TIMESTAMP() + ? WHERE $mine", [$seconds, $name, $owner]);

        return (bool) Db::fetchOne("SELECT 1 FROM {$this->locksTable()} WHERE $mine", [$name, $owner]);
    }

    public function unlock(string $name, string $owner): void
    {
        Db::query("DELETE FROM {$this->locksTable()} WHERE queue_key = ? AND queue_value = ?", [$name, $owner]);
    }

    public function locks(string $start): array
    {
        $sql = "SELECT queue_key, (expiry_time - UNIX_TIMESTAMP()) * 1000 AS ms FROM {$this->locksTable()}
            WHERE queue_key LIKE ? AND expiry_time >= UNIX_TIMESTAMP()";

        return array_column(Db::fetchAll($sql, [$start . '%']), 'ms', 'queue_key');
    }

    public function forceUnlock(string $name): void
    {
        Db::query("DELETE FROM {$this->locksTable()} WHERE queue_key = ?", [$name]);
    }

    private function locksTable(): string
    {
        return '`' . Common::prefixTable(self::LOCKS) . '`';
    }

    private function table(string $list): string
    {
        return '`' . Common::prefixTable('queuedtracking_list_' . $list) . '`';
    }

    private function read(string $sql, string $list): array
    {
        try {
            return Db::fetchAll(sprintf($sql, $this->table($list)));
        } catch (\Exception $missing) {
            if ($this->isMissing($missing)) {
                return [];
            }
            throw $missing;
        }
    }

    private function isMissing(\Exception $error): bool
    {
        return strpos($error->getMessage(), '1146') !== false;
    }
}
