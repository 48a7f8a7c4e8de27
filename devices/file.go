package devices

import (
	"errors"
	"fmt"
	"slices"
)

// File is what devices.yaml says: who is there, and how it proves who it is.
type File struct {
	Sites       []*Site
	Devices     []DeviceConfig
	Credentials []Credential
}

type siteForm struct {
	Site         `yaml:",inline"`
	PasswordHash string `yaml:"password_hash,omitempty"`
}

type deviceForm struct {
	DeviceConfig `yaml:",inline"`
	PasswordHash string `yaml:"password_hash,omitempty"`
}

// ParseDevices reads devices.yaml. It reports all that is wrong, each with
// file:line:column.
func ParseDevices(name string, data []byte, kinds []*Kind) (*File, error) {
	var form struct {
		Sites   []siteForm   `yaml:"sites"`
		Devices []deviceForm `yaml:"devices"`
	}
	doc, err := ReadDocument(name, data, &form)
	if err != nil {
		return nil, err
	}
	var errs []error
	complain := func(at string, err error) {
		var part *partError
		if errors.As(err, &part) {
			at += "." + part.part
		}
		errs = append(errs, doc.Errorf(at, "%v", err))
	}
	f := &File{Devices: slices.Grow([]DeviceConfig(nil), len(form.Devices))}
	check, err := NewRegistry(RegistryOptions{Kinds: kinds})
	if err != nil {
		return nil, err
	}
	for i := range form.Sites {
		s, at := &form.Sites[i], fmt.Sprintf("$.sites[%d]", i)
		if err := check.addSite(&s.Site); err != nil {
			complain(at, err)
		}
		if s.Name.ZH == "" || s.Name.EN == "" {
			complain(at, &partError{"name", fmt.Errorf("site %q: want a name in both languages: {zh: …, en: …}", s.ID)})
		}
		f.Sites = append(f.Sites, &s.Site)
		if err := f.addCredential(Credential{User: s.ID, Hash: s.PasswordHash, Site: s.ID}); err != nil {
			complain(at, err)
		}
	}
	for i := range form.Devices {
		d, at := &form.Devices[i], fmt.Sprintf("$.devices[%d]", i)
		if err := check.addDevice(d.DeviceConfig); err != nil {
			complain(at, err)
		}
		f.Devices = append(f.Devices, d.DeviceConfig)
		if err := f.addCredential(Credential{User: d.Key(), Hash: d.PasswordHash, Site: d.Site, Device: d.ID}); err != nil {
			complain(at, err)
		}
	}
	return f, errors.Join(errs...)
}

func (f *File) addCredential(c Credential) error {
	if c.Hash == "" {
		return nil
	}
	if err := checkHash(c.Hash); err != nil {
		return &partError{"password_hash", err}
	}
	f.Credentials = append(f.Credentials, c)
	return nil
}

// Registry is the registry of what the file says.
func (f *File) Registry(kinds []*Kind) (*Registry, error) {
	return NewRegistry(RegistryOptions{Kinds: kinds, Sites: f.Sites, Devices: f.Devices})
}
