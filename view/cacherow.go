package view

import (
	"time"

	"github.com/docker/go-units"
)

// cacheRow is one line of the build cache in system df -v. Its exported methods are
// Docker's placeholders.
type cacheRow struct {
	c   *CacheDisk
	now time.Time
}

func cacheTitles() header {
	return header{
		"ID": "CACHE ID", "CacheType": "CACHE TYPE", "Size": "SIZE", "CreatedSince": "CREATED", "LastUsedSince": "LAST USED",
		"UsageCount": "USAGE", "Shared": "SHARED", "InUse": "IN USE", "Description": "DESCRIPTION", "CreatedAt": "CREATED AT",
		"LastUsedAt": "LAST USED AT", "Parent": "PARENT",
	}
}

func (r *cacheRow) ID() string            { return r.c.ID[:min(12, len(r.c.ID))] }
func (r *cacheRow) CacheType() string     { return r.c.Type }
func (r *cacheRow) Description() string   { return Safe(r.c.Text) }
func (r *cacheRow) Size() string          { return units.HumanSize(float64(r.c.Size)) }
func (r *cacheRow) CreatedAt() string     { return r.c.Created.Format(time.RFC3339) }
func (r *cacheRow) CreatedSince() string  { return since(r.c.Created, r.now) }
func (r *cacheRow) LastUsedAt() string    { return r.c.Used.Format(time.RFC3339) }
func (r *cacheRow) LastUsedSince() string { return since(r.c.Used, r.now) }
func (r *cacheRow) Parent() string        { return "" }
func (r *cacheRow) InUse() bool           { return false }
func (r *cacheRow) Shared() bool          { return r.c.Shared }

// UsageCount is not kept: that it was used at all, the time says.
func (r *cacheRow) UsageCount() int {
	if r.c.Used.After(r.c.Created.Add(time.Second)) {
		return 2
	}
	return 1
}

// MarshalJSON gives the object that docker system df -v --format json prints.
func (r *cacheRow) MarshalJSON() ([]byte, error) {
	text, err := encode(map[string]any{
		"ID": r.ID(), "CacheType": r.CacheType(), "Description": r.Description(), "Size": r.Size(), "CreatedAt": r.CreatedAt(),
		"LastUsedAt": r.LastUsedAt(), "InUse": r.InUse(), "Shared": r.Shared(),
	}, "")
	return []byte(text), err
}
