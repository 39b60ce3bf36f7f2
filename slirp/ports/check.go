package ports

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"

	"sbx/api"
	"sbx/internal/remedy"
)

// Check says which ports of the host can be published.
func Check() api.Finding {
	const name, web = "low ports", 80
	f := api.Finding{Name: name, Level: api.Green, What: "all can be published"}
	for _, port := range []int{1, web} {
		l, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(port))
		switch {
		case err == nil:
			if err := l.Close(); err != nil {
				return api.Lacking(api.Yellow, name, err, "", api.Remedy{})
			}
		case errors.Is(err, os.ErrPermission):
			f.What = fmt.Sprintf("ports from %d on can be published", firstPort())
			if port == web {
				f.Level, f.Lost, f.Remedy = api.Yellow, "publishing lower ones, such as -p 80:80", remedy.LowPorts(web)
			}
		}
	}
	return f
}
